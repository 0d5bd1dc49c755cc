package live

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/outrider-mesh/outrider/lifecycle"
	"github.com/outrider-mesh/outrider/test/kit/testca"
	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

func TestMain(m *testing.M) { os.Exit(kube.Main(m)) }

// endpoint is a webhook at a local address, which answers as the test wants.
func endpoint(t *testing.T, answer http.HandlerFunc) (url string, ca []byte) {
	t.Helper()
	authority, err := testca.New("ca", time.Now().Add(-time.Hour), 2*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(answer)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, authority.PEM()
}

// The messages that Explain reads are those of a real API server.
func TestVerify(t *testing.T) {
	s := kube.Require(t)
	o := VerifyOptions{
		Installation:  lifecycle.Installation{Namespace: s.Namespace(t, nil), Revision: "verify"},
		TestNamespace: s.Namespace(t, map[string]string{"istio.io/rev": "verify"}),
		Image:         "registry.k8s.io/pause:3.10",
		Timeout:       time.Millisecond, Every: time.Millisecond,
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nothing := "https://" + closed.Addr().String()
	_ = closed.Close()
	answering, ca := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": %q, "allowed": false, "status": {"message": "values: bad"}}}`, uid(t, r))
	})
	stop := make(chan struct{})
	silent, silentCA := endpoint(t, func(http.ResponseWriter, *http.Request) { <-stop })
	t.Cleanup(func() { close(stop) })
	_, other := endpoint(t, nil)

	for _, tt := range []struct {
		name string
		r    *registration.Options
		want string
	}{
		{"none", nil, "MutatingWebhookConfiguration outrider-sidecar-injector-verify does not exist"},
		{"no Service", &registration.Options{Service: "outrider-verify", CABundle: ca}, "outrider-verify does not exist"},
		{"nobody listens", &registration.Options{URL: nothing, CABundle: ca}, "0 of 0 replicas"},
		{"no answer", &registration.Options{URL: silent, CABundle: silentCA}, "0 of 0 replicas"},
		{"another CA", &registration.Options{URL: answering, CABundle: other}, "A proxy between the API server and the webhook"},
		{"denied", &registration.Options{URL: answering, CABundle: ca}, "The webhook is reached, but cannot inject the pod: values: bad"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.r != nil {
				tt.r.Revision, tt.r.Namespace = "verify", o.Namespace
				register(t, s, tt.r.Mutating())
			}
			var out strings.Builder
			err := Verify(t.Context(), s.Client, o, &out)
			if !errors.Is(err, ErrNotInjected) || !strings.Contains(out.String(), tt.want) {
				t.Errorf("%v, want %q in:\n%s", err, tt.want, &out)
			}
		})
	}
}

// register makes the configuration the only one, until the end of the test.
func register(t *testing.T, s *kube.Server, c *admissionregistrationv1.MutatingWebhookConfiguration) {
	t.Helper()
	for i := range c.Webhooks {
		c.Webhooks[i].TimeoutSeconds = new(int32(1))
	}
	client := s.Client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	if _, err := client.Create(t.Context(), c, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Delete(context.WithoutCancel(t.Context()), c.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	// The API server's admission reads it a moment later.
	time.Sleep(1500 * time.Millisecond)
}

// What the program created is removed, and nothing of another revision or owner.
func TestUninstall(t *testing.T) {
	s := kube.Require(t)
	ns, shop := s.Namespace(t, nil), s.Namespace(t, nil)
	meta := func(namespace, name, revision string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app.kubernetes.io/managed-by": "outrider", "istio.io/rev": revision}}
	}
	maps := func(namespace string) string {
		t.Helper()
		list, err := s.Client.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for i := range list.Items {
			names = append(names, list.Items[i].Name)
		}
		return strings.Join(names, " ")
	}
	for _, revision := range []string{"a", "b"} {
		for _, namespace := range []string{ns, shop} {
			if _, err := s.Client.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: meta(namespace, "outrider-ca-"+revision, revision)}, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Client.CoreV1().Secrets(ns).Create(t.Context(), &corev1.Secret{ObjectMeta: meta(ns, "outrider-certs-"+revision, revision)}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	client, err := dynamic.NewForConfig(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	o := UninstallOptions{Installation: lifecycle.Installation{Namespace: ns, Revision: "a"}, DryRun: true}
	var out strings.Builder
	if err := Uninstall(t.Context(), client, o, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "would remove secrets "+ns+"/outrider-certs-a\n") || !strings.Contains(maps(shop), "outrider-ca-a") {
		t.Errorf("a dry run: %s\n%s", maps(shop), &out)
	}
	o.DryRun = false
	out.Reset()
	for range 2 { // the second finds nothing
		if err := Uninstall(t.Context(), client, o, &out); err != nil {
			t.Fatal(err)
		}
	}
	want := fmt.Sprintf("removed secrets %[1]s/outrider-certs-a\nremoved configmaps %[1]s/outrider-ca-a\nremoved configmaps %[2]s/outrider-ca-a\n", ns, shop)
	note := "note: pods in the namespaces "
	if got, _, _ := strings.Cut(out.String(), note); sorted(got) != sorted(want) || strings.Count(out.String(), note) != 1 {
		t.Errorf("printed:\n%s\nwant:\n%s", &out, want)
	}
	if left := maps(shop); left != "outrider-ca-b" {
		t.Errorf("left in %s: %s", shop, left)
	}
	if _, err := s.Client.CoreV1().Secrets(ns).Get(t.Context(), "outrider-certs-b", metav1.GetOptions{}); err != nil {
		t.Errorf("the other revision's Secret: %v", err)
	}
}

// sorted are the lines in order: the names of the namespaces are random.
func sorted(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// uid is that of the review in a request.
func uid(t *testing.T, r *http.Request) string {
	var review struct{ Request struct{ UID string } }
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		t.Error(err)
	}
	return review.Request.UID
}
