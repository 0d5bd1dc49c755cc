package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kit/testca"
	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// admissionFlags are the flag of an API server that has a client certificate for
// webhooks at some hosts, as docs/operations.md configures it.
func admissionFlags(t *testing.T, cert tls.Certificate, hosts ...string) map[string][]string {
	t.Helper()
	dir := t.TempDir()
	certificate, key, err := testca.PEM(cert)
	kit.Must(t, err)
	users := "apiVersion: v1\nkind: Config\nusers:\n"
	for _, host := range hosts {
		users += fmt.Sprintf("- name: '%s'\n  user: {client-certificate-data: %s, client-key-data: %s}\n", host,
			base64.StdEncoding.EncodeToString(certificate), base64.StdEncoding.EncodeToString(key))
	}
	kubeconfig, file := filepath.Join(dir, "webhook.kubeconfig"), filepath.Join(dir, "admission.yaml")
	text := "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n"
	for _, plugin := range []string{"MutatingAdmissionWebhook", "ValidatingAdmissionWebhook"} {
		text += fmt.Sprintf("- name: %s\n  configuration:\n    apiVersion: apiserver.config.k8s.io/v1\n    kind: WebhookAdmissionConfiguration\n    kubeConfigFile: %s\n", plugin, kubeconfig)
	}
	kit.Must(t, errors.Join(os.WriteFile(kubeconfig, []byte(users), 0o600), os.WriteFile(file, []byte(text), 0o600)))
	return map[string][]string{"admission-control-config-file": {file}}
}

// serveAuthenticated starts a server that answers only clients with a certificate of a
// CA and a name.
func serveAuthenticated(t *testing.T, address string, serving tls.Certificate, ca []byte, name string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.crt")
	kit.Must(t, os.WriteFile(file, ca, 0o600))
	clients := NewClientCA(file, []string{name}, logr.Discard())
	f := newFixture(t, compiled(t, ""))
	f.options.Authenticate = clients.Authenticate()
	server, err := NewServer(ServerOptions{
		Address: address, TLS: &tls.Config{Certificates: []tls.Certificate{serving}}, Clients: clients, Metrics: f.options.Metrics, Log: logr.Discard(),
	})
	kit.Must(t, err)
	for path, h := range Handlers(f.options) {
		server.Register(path, h)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- server.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// injectBy registers a webhook for the pods of a label value.
func injectBy(ca []byte, label, address string) admissionregistrationv1.MutatingWebhook {
	url, fail, none := "https://"+address+registration.InjectPath, admissionregistrationv1.Fail, admissionregistrationv1.SideEffectClassNone
	return admissionregistrationv1.MutatingWebhook{
		Name: label + ".example.com", AdmissionReviewVersions: []string{"v1"}, SideEffects: &none, FailurePolicy: &fail,
		ClientConfig:   admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: ca},
		ObjectSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"webhook": label}},
		Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
			Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
		}},
	}
}

// The API server's client certificate is what the webhook answers to, and any other
// client is rejected.
func TestClientCA_APIServer(t *testing.T) {
	if testing.Short() && os.Getenv("REQUIRE_REAL") != "1" {
		t.Skip("needs a real API server; -short omits it")
	}
	ca, err := testca.New("test", time.Now().Add(-time.Hour), 24*time.Hour)
	kit.Must(t, err)
	serving, err := ca.Issue("127.0.0.1", "localhost")
	kit.Must(t, err)
	cert, err := ca.IssueClient("kube-apiserver")
	kit.Must(t, err)
	mine, other := kit.FreeAddress(t), kit.FreeAddress(t)
	serveAuthenticated(t, mine, serving, ca.PEM(), "kube-apiserver")
	serveAuthenticated(t, other, serving, ca.PEM(), "somebody")
	server, err := kube.Start(t.Context(), kube.Options{Progress: os.Stderr, APIServerFlags: admissionFlags(t, cert, mine, other)})
	kit.Must(t, err)
	t.Cleanup(func() { kit.Must(t, server.Stop()) })
	without := strings.Replace(mine, "127.0.0.1", "localhost", 1) // the API server has no certificate for this host
	_, err = server.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(), &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "outrider"},
		Webhooks:   []admissionregistrationv1.MutatingWebhook{injectBy(ca.PEM(), "mine", mine), injectBy(ca.PEM(), "other", other), injectBy(ca.PEM(), "without", without)},
	}, metav1.CreateOptions{})
	kit.Must(t, err)
	create := func(label string) (*corev1.Pod, error) {
		return server.Client.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "a-", Labels: map[string]string{"webhook": label}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "a"}}},
		}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	}
	kit.Eventually(t, "the webhook of the API server's certificate injects", func() error {
		pod, err := create("mine")
		if err == nil && len(pod.Spec.Containers)+len(pod.Spec.InitContainers) < 3 {
			err = errors.New("not injected")
		}
		return err
	})
	for label, want := range map[string]string{
		"other":   `the client certificate's name "kube-apiserver" is not one of --client-name: somebody`,
		"without": "a client certificate is required; set it for this webhook in the API server's --admission-control-config-file",
	} {
		if _, err := create(label); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", label, err, want)
		}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	resp, err := client.Post("https://"+mine+registration.InjectPath, "application/json", bytes.NewReader(sleepReview(0, 0)))
	kit.Must(t, err)
	text, err := io.ReadAll(resp.Body)
	kit.Must(t, errors.Join(err, resp.Body.Close()))
	if resp.StatusCode != http.StatusForbidden || !bytes.Contains(text, []byte("a client certificate is required")) {
		t.Errorf("another client: status %d: %s", resp.StatusCode, text)
	}
}
