package webhook

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// fake answers with what a test gives it.
type fake struct {
	inject func(inject.Request) (*inject.Result, error)
	review func([]byte, string, map[string]string) []string
}

func (f fake) Inject(r inject.Request) (*inject.Result, error) { return f.inject(r) }
func (f fake) Hash() string                                    { return "0123456789abcdef" }
func (f fake) ReviewWorkload(object []byte, ns string, a map[string]string) []string {
	return f.review(object, ns, a)
}

// labels every pod with one patch operation.
func patching(inject.Request) (*inject.Result, error) {
	return &inject.Result{
		Decision: inject.Decision{Inject: true, Reason: inject.ReasonPolicyEnabled},
		Patch:    []inject.Operation{{Op: "add", Path: "/metadata/labels", Value: `{"a<b":"ü"}`}},
	}, nil
}

// bench is a door and its surroundings.
type bench struct {
	t        testing.TB
	settings *Settings
	registry *prometheus.Registry
	options  Options
}

func newBench(t testing.TB, i Injector) *bench {
	t.Helper()
	b := &bench{t: t, settings: &Settings{}, registry: prometheus.NewRegistry()}
	m, err := NewMetrics(b.registry)
	if err != nil {
		t.Fatal(err)
	}
	if i != nil {
		b.settings.Store(i)
	}
	b.options = Options{Settings: b.settings, Log: logr.Discard(), Metrics: m}
	return b
}

// metric sums the samples of a counter, or counts a histogram's.
func (b *bench) metric(name string, labels ...string) float64 {
	b.t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if matches(m, labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func matches(m *dto.Metric, labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		found := false
		for _, l := range m.GetLabel() {
			found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
		}
		if !found {
			return false
		}
	}
	return true
}

// reviewOf is an AdmissionReview for an object, changed by edits.
func reviewOf(object string, edits ...func(*admissionv1.AdmissionReview)) []byte {
	rv := &admissionv1.AdmissionReview{Request: &admissionv1.AdmissionRequest{UID: "uid-1", Namespace: "shop", Operation: admissionv1.Create}}
	rv.APIVersion, rv.Kind = "admission.k8s.io/v1", "AdmissionReview"
	rv.Request.Kind.Version, rv.Request.Kind.Kind = "v1", "Pod"
	rv.Request.Resource.Version, rv.Request.Resource.Resource = "v1", "pods"
	if object != "" {
		rv.Request.Object.Raw = []byte(object)
	}
	for _, edit := range edits {
		edit(rv)
	}
	out, err := json.Marshal(rv)
	if err != nil {
		panic(err)
	}
	return out
}

func workload(group, kind, resource string) func(*admissionv1.AdmissionReview) {
	return func(rv *admissionv1.AdmissionReview) {
		rv.Request.Kind.Group, rv.Request.Kind.Kind = group, kind
		rv.Request.Resource.Group, rv.Request.Resource.Resource = group, resource
	}
}

// requestOf is the API server's request with a body.
func requestOf(body []byte) *http.Request {
	return &http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: registration.InjectPath}, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// post sends a body to a handler.
func post(h http.Handler, body []byte) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, requestOf(body))
	return w
}

// response is the answer's review; it must be a complete v1 one.
func answerOf(t testing.TB, w *httptest.ResponseRecorder) *admissionv1.AdmissionResponse {
	t.Helper()
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	var rv admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &rv); err != nil {
		t.Fatalf("decode answer: %v\n%s", err, w.Body)
	}
	if rv.APIVersion != "admission.k8s.io/v1" || rv.Kind != "AdmissionReview" || rv.Response == nil || rv.Request != nil {
		t.Fatalf("the answer is no v1 review: %s", w.Body)
	}
	return rv.Response
}
