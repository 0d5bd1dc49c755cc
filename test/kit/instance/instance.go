// Package instance runs replicas of the control plane, or parts of it, inside a
// test's process, and registers their webhooks with the test's API server.
package instance

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/outrider-mesh/outrider/test/kit"
)

// Log writes to standard error under `go test -v`, and nowhere otherwise.
func Log(name string) logr.Logger {
	return funcr.New(func(prefix, args string) {
		if testing.Verbose() {
			fmt.Fprintln(os.Stderr, name, prefix, args)
		}
	}, funcr.Options{})
}

// Run runs a replica until the test ends or stop is called, which waits for it.
// An error of the replica fails the test.
func Run(t testing.TB, name string, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx); close(done) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// Readyz is nil when the health address answers that the replica is ready, else
// an error with the checks that fail.
func Readyz(health string) error {
	resp, err := http.Get("http://" + health + "/readyz?verbose")
	if err != nil {
		return fmt.Errorf("ask whether the replica is ready: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var failed strings.Builder
	if err := resp.Write(&failed); err != nil {
		return fmt.Errorf("ask whether the replica is ready: %w", err)
	}
	return fmt.Errorf("the replica is not ready: %s", failed.String())
}

// Register creates webhook configurations, and deletes them when the test ends.
func Register(t testing.TB, client kubernetes.Interface, mutating *admissionregistrationv1.MutatingWebhookConfiguration, validating *admissionregistrationv1.ValidatingWebhookConfiguration) {
	t.Helper()
	api := client.AdmissionregistrationV1()
	t.Cleanup(func() {
		_ = api.MutatingWebhookConfigurations().Delete(context.Background(), mutating.Name, metav1.DeleteOptions{})
		_ = api.ValidatingWebhookConfigurations().Delete(context.Background(), validating.Name, metav1.DeleteOptions{})
	})
	_, err := api.MutatingWebhookConfigurations().Create(t.Context(), mutating, metav1.CreateOptions{})
	kit.Must(t, err)
	_, err = api.ValidatingWebhookConfigurations().Create(t.Context(), validating, metav1.CreateOptions{})
	kit.Must(t, err)
}
