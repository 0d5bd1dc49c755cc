package webhook

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// compiled is the injector of a text of key "config".
func compiled(t testing.TB, text string) *inject.Injector {
	t.Helper()
	cfg, problems := config.Parse(config.Texts{Config: text}, config.Labels{})
	if cfg == nil {
		t.Fatal(problems.Err())
	}
	i, problems := inject.Compile(cfg, inject.Environment{Kubernetes: inject.Version{Major: 1, Minor: 37}})
	if i == nil {
		t.Fatal(problems.Err())
	}
	return i
}

// fixture is what a handler is made with: the options, an injector and a
// registry of its own.
type fixture struct {
	t        testing.TB
	active   atomic.Pointer[inject.Injector]
	registry *prometheus.Registry
	options  Options
}

func newFixture(t testing.TB, i *inject.Injector) *fixture {
	t.Helper()
	b := &fixture{t: t, registry: prometheus.NewRegistry()}
	m, err := NewMetrics(b.registry)
	if err != nil {
		t.Fatal(err)
	}
	b.active.Store(i)
	b.options = Options{Active: b.active.Load, Log: logr.Discard(), Metrics: m}
	return b
}

// metric sums the samples of a counter, or counts a histogram's.
func (b *fixture) metric(name string, labels ...string) float64 {
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

// answerOf is the response's review; it must be a complete v1 one.
func answerOf(t testing.TB, w *httptest.ResponseRecorder) *admissionv1.AdmissionResponse {
	t.Helper()
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	var rv admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &rv); err != nil {
		t.Fatalf("decode response: %v\n%s", err, w.Body)
	}
	if rv.APIVersion != "admission.k8s.io/v1" || rv.Kind != "AdmissionReview" || rv.Response == nil || rv.Request != nil {
		t.Fatalf("not a v1 review with a response: %s", w.Body)
	}
	return rv.Response
}
