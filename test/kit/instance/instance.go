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

// Replica is a replica that runs inside the test's process.
type Replica struct {
	name   string
	t      testing.TB
	cancel context.CancelFunc
	done   chan struct{}
	err    error // once done is closed
}

// Run runs a replica until the test ends, or until Stop or Cancel. An error that
// it returns fails the test.
func Run(t testing.TB, name string, run func(context.Context) error) *Replica {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &Replica{name: name, t: t, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = run(ctx)
	}()
	t.Cleanup(r.Stop)
	return r
}

// Cancel asks the replica to end, and does not wait.
func (r *Replica) Cancel() { r.cancel() }

// Done is closed once the replica has ended.
func (r *Replica) Done() <-chan struct{} { return r.done }

// Err is the error that an ended replica returned.
func (r *Replica) Err() error {
	<-r.done
	return r.err
}

// Stop ends the replica and waits for it.
func (r *Replica) Stop() {
	r.cancel()
	if err := r.Err(); err != nil {
		r.t.Errorf("%s: %v", r.name, err)
	}
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
