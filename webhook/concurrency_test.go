package webhook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// echo repeats the pod's name in its patch.
const echo = `templates:
  echo: |
    metadata:
      annotations:
        of: {{ .ObjectMeta.Name | quote }}
defaultTemplates: [echo]
`

// Responses to many concurrent requests of very different sizes must never mix:
// each patch repeats its own pod, although the buffers are shared.
func TestHandler_ConcurrentRequestsDoNotMix(t *testing.T) {
	b := newFixture(t, compiled(t, echo))
	server := httptest.NewServer(NewPodHandler(b.options))
	defer server.Close()
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 50 {
				name := fmt.Sprintf("pod-%d-%d-%s", worker, i, strings.Repeat("x", (i%5)*20000))
				body := reviewOf(`{"kind":"Pod","metadata":{"name":"`+name+`"},"spec":{"containers":[{"name":"a"}]}}`, func(r *admissionv1.AdmissionReview) {
					r.Request.UID = types.UID(name)
				})
				resp, err := http.Post(server.URL, "application/json", bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				out, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil {
					t.Error(err)
					return
				}
				w := httptest.NewRecorder()
				w.Body.Write(out)
				got := answerOf(t, w)
				if string(got.UID) != name || !strings.Contains(string(got.Patch), `"of":"`+name+`"`) {
					t.Errorf("the response to %.30s is for %.30s: %.100s", name, got.UID, got.Patch)
				}
			}
		})
		wg.Go(func() { // the active configuration changes meanwhile
			for range 5 {
				b.active.Store(compiled(t, echo))
			}
		})
	}
	wg.Wait()
	server.Close() // a request is counted when it has been answered
	if got := b.metric("sidecar_injection_success_total"); got != 400 {
		t.Errorf("success_total = %v, want 400", got)
	}
}

func TestHandler_LimitsConcurrentRequests(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	b := newFixture(t, compiled(t, ""))
	b.options.Active = func() *inject.Injector {
		entered <- struct{}{}
		<-leave
		return b.active.Load()
	}
	b.options.Limits.MaxConcurrent = 1
	h := NewPodHandler(b.options)
	first := make(chan *httptest.ResponseRecorder)
	go func() { first <- post(h, reviewOf(smallPod)) }()
	<-entered

	r := httptest.NewRequest(http.MethodPost, registration.InjectPath+"?timeout=20ms", bytes.NewReader(reviewOf(smallPod)))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "too many concurrent requests (limit 1)") {
		t.Errorf("status %d, %v, %q", w.Code, w.Header(), w.Body)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the API server has given up
	w = httptest.NewRecorder()
	r.Body = io.NopCloser(bytes.NewReader(reviewOf(smallPod)))
	h.ServeHTTP(w, r.WithContext(ctx))
	if w.Code != http.StatusTooManyRequests {
		t.Errorf("status %d for a client that has gone", w.Code)
	}
	if got := b.metric("sidecar_injection_requests_total", "result", "error", "reason", "busy"); got != 2 {
		t.Errorf("requests_total{busy} = %v", got)
	}

	// A request that finds a place within its time is answered.
	second := make(chan *httptest.ResponseRecorder)
	go func() { second <- post(h, reviewOf(smallPod)) }()
	leave <- struct{}{}
	if got := answerOf(t, <-first); !got.Allowed {
		t.Error("the first request was denied")
	}
	<-entered
	leave <- struct{}{}
	if got := answerOf(t, <-second); !got.Allowed {
		t.Error("the waiting request was denied")
	}
}

// A panic must release its place.
func TestHandler_PanicReleasesItsPlace(t *testing.T) {
	b := newFixture(t, nil)
	b.options.Active = func() *inject.Injector { panic("again") }
	b.options.Limits.MaxConcurrent = 1
	h := NewPodHandler(b.options)
	for range 5 {
		answerOf(t, post(h, reviewOf(smallPod)))
	}
	if got := b.metric("sidecar_injection_panics_total"); got != 5 {
		t.Errorf("panics_total = %v, want 5", got)
	}
}

func TestHandler_BodyEndsEarly(t *testing.T) {
	b := newFixture(t, compiled(t, ""))
	body := reviewOf(smallPod)
	r := httptest.NewRequest(http.MethodPost, registration.InjectPath, io.MultiReader(bytes.NewReader(body[:50]), errReader{}))
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = int64(len(body))
	w := httptest.NewRecorder()
	NewPodHandler(b.options).ServeHTTP(w, r)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "read body after 50 bytes: connection lost") {
		t.Errorf("status %d, %q", w.Code, w.Body)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, fmt.Errorf("connection lost") }

// fuzzSeeds are bodies that reach the injector, and ones that do not.
var fuzzSeeds = [][]byte{
	reviewOf(smallPod),
	reviewOf("null"),
	reviewOf(`{"kind":"ConfigMap"}`),
	reviewOf(`{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{"sidecar.istio.io/proxyCPU":"many"}},"spec":{"containers":[{"name":"a"}]}}`),
	reviewOf(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"annotations":{"sidecar.istio.io/proxyCPU":"1"}},"spec":{"template":{"spec":{"containers":[{"name":"a"}]}}}}`, workload("apps", "Deployment", "deployments")),
	[]byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"\ud800","object":{}}}`),
	[]byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1"}`),
	[]byte(`[`),
}

// fuzzHandlers are the pod and the workload handler, with the built-in
// configuration, and a handler that repeats the object in a warning.
func fuzzHandlers(tb testing.TB) map[string]http.Handler {
	metrics, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	injector := compiled(tb, "")
	o := Options{Active: func() *inject.Injector { return injector }, Log: logr.Discard(), Metrics: metrics}
	repeating := newHandler(o, "repeat")
	repeating.count, repeating.panicked = metrics.pod, unvalidated
	repeating.decide = func(r *request) answer {
		return answer{all: messages("", problem.List{warning(string(r.Object))}), response: response{allowed: true}}
	}
	return map[string]http.Handler{"pods": NewPodHandler(o), "workloads": NewWorkloadHandler(o), "repeating": repeating}
}

// Seeds reach a patch, a denial and a warning, so that fuzzing starts at the core.
func TestFuzzSeedsReachTheCore(t *testing.T) {
	handlers := fuzzHandlers(t)
	patched, rejected, warned := 0, 0, 0
	for _, body := range fuzzSeeds {
		if w := post(handlers["pods"], body); w.Code == http.StatusOK {
			switch got := answerOf(t, w); {
			case len(got.Patch) > 0:
				patched++
			case !got.Allowed && strings.Contains(got.Result.Message, "sidecar.istio.io/proxyCPU"):
				rejected++
			}
		}
		if w := post(handlers["workloads"], body); w.Code == http.StatusOK && len(answerOf(t, w).Warnings) > 0 {
			warned++
		}
	}
	if patched < 1 || rejected < 1 || warned < 1 {
		t.Errorf("%d seeds are patched, %d denied, %d warned about", patched, rejected, warned)
	}
}

// FuzzHandler sends any bytes as a body: the response is a text with a status of
// 400 or 413, or a review that carries the request's uid.
func FuzzHandler(f *testing.F) {
	for _, body := range fuzzSeeds {
		f.Add(body)
	}
	handlers := fuzzHandlers(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		for name, h := range handlers {
			w := post(h, body)
			if w.Code == http.StatusBadRequest && w.Body.Len() > 0 && w.Body.Len() < 2000 {
				continue
			}
			got := answerOf(t, w)
			if got.UID == "" {
				t.Errorf("%s: a response without uid: %s", name, w.Body)
			}
			if strings.HasSuffix(name, "workloads") && !got.Allowed {
				t.Errorf("a workload was denied: %s", w.Body)
			}
			if !got.Allowed && (got.Result == nil || got.Result.Message == "") {
				t.Errorf("%s: denied without a message: %s", name, w.Body)
			}
		}
	})
}

// A client that stops in the middle of a body is disconnected, so that it does not
// occupy its place.
func TestHandler_SlowBody(t *testing.T) {
	b := newFixture(t, compiled(t, ""))
	h := NewPodHandler(b.options)
	h.(*handler).bodyTimeout = 50 * time.Millisecond
	server := httptest.NewServer(h)
	defer server.Close()
	pr, pw := io.Pipe()
	defer func() { _ = pw.Close() }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, pr)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	go func() { _, _ = pw.Write([]byte(`{`)) }()
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	if got := b.metric("sidecar_injection_requests_total", "reason", "body_unreadable"); got != 1 {
		t.Errorf("requests_total{body_unreadable} = %v", got)
	}
}
