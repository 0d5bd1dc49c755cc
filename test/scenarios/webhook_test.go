package scenarios

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/webhook"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// webhookServer is the webhook, served over HTTPS with one injector.
type webhookServer struct {
	server *httptest.Server
}

func newWebhookServer(t *testing.T, s *scenario, injector *inject.Injector) *webhookServer {
	t.Helper()
	metrics, err := webhook.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	o := webhook.Options{
		Active: func() *inject.Injector { return injector }, Metrics: metrics, Log: logr.Discard(),
		NamespaceAnnotations: func(string) map[string]string { return s.options.NamespaceAnnotations },
	}
	mux := http.NewServeMux()
	mux.Handle(registration.InjectPath, webhook.NewPodHandler(o))
	mux.Handle(registration.WarnPath, webhook.NewWorkloadHandler(o))
	d := &webhookServer{server: httptest.NewUnstartedServer(mux)}
	d.server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	d.server.StartTLS()
	t.Cleanup(d.server.Close)
	return d
}

// answer is the webhook's response about one object.
type answer struct {
	allowed  bool
	reason   string // the audit annotation
	problems []string
	warnings []string
	patched  bool
	object   tree // after the patch
}

// admit sends a pod to be created.
func (s *webhookServer) admit(t *testing.T, pod tree, namespace string) answer {
	t.Helper()
	raw := encode(t, pod)
	response := s.post(t, registration.InjectPath, &admissionv1.AdmissionRequest{
		UID:       "705ab4f5-6393-11e8-b7cc-42010a800002",
		Kind:      metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
		Resource:  metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		Namespace: admissionNamespace(namespace), Operation: admissionv1.Create,
		Object: runtime.RawExtension{Raw: raw},
	})
	a := answer{
		allowed: response.Allowed, reason: response.AuditAnnotations["reason"],
		warnings: response.Warnings, patched: len(response.Patch) > 0, object: pod,
	}
	if !a.allowed {
		a.problems = problemsIn(response.Result.Message)
		return a
	}
	if a.patched {
		patch, err := jsonpatch.DecodePatch(response.Patch)
		if err != nil {
			t.Fatalf("patch: %v\n%s", err, response.Patch)
		}
		if raw, err = patch.Apply(raw); err != nil {
			t.Fatalf("apply the patch: %v\n%s", err, response.Patch)
		}
		a.object = decode(t, raw).(tree)
	}
	return a
}

// review sends a workload to the handler that only warns.
func (s *webhookServer) review(t *testing.T, o object, namespace string) []string {
	t.Helper()
	group, version, ok := strings.Cut(text(o.tree, "apiVersion"), "/")
	if !ok {
		group, version = "", group
	}
	resource := strings.ToLower(o.kind()) + "s"
	response := s.post(t, registration.WarnPath, &admissionv1.AdmissionRequest{
		UID:       "705ab4f5-6393-11e8-b7cc-42010a800003",
		Kind:      metav1.GroupVersionKind{Group: group, Version: version, Kind: o.kind()},
		Resource:  metav1.GroupVersionResource{Group: group, Version: version, Resource: resource},
		Namespace: admissionNamespace(namespace), Operation: admissionv1.Create,
		Object: runtime.RawExtension{Raw: encode(t, o.tree)},
	})
	if !response.Allowed {
		t.Errorf("%s: the handler that only warns denied it: %+v", o.name(), response.Result)
	}
	return response.Warnings
}

func (s *webhookServer) post(t *testing.T, path string, request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	t.Helper()
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: request,
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.server.Client().Post(s.server.URL+path, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	got, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v, %s: %s", path, err, r.Status, got)
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(got, &review); err != nil || review.Response == nil || review.Response.UID != request.UID {
		t.Fatalf("%s: no answer to the review (%v): %s", path, err, got)
	}
	return review.Response
}

var numbered = regexp.MustCompile(`^(\d+) problems: `)

// problemsIn parses the message of a denial.
func problemsIn(message string) []string {
	m := numbered.FindStringSubmatch(message)
	if m == nil {
		return []string{message}
	}
	var out []string
	rest := strings.TrimPrefix(message, m[0])
	for n := 1; ; n++ {
		rest = strings.TrimPrefix(rest, fmt.Sprintf("(%d) ", n))
		head, tail, more := strings.Cut(rest, fmt.Sprintf(" (%d) ", n+1))
		out = append(out, head)
		if !more {
			return out
		}
		rest = tail
	}
}
