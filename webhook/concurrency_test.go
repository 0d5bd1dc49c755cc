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
	"github.com/tidwall/gjson"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// Answers of many requests at once, of very different sizes, must never mix:
// each patch repeats its own pod, although the buffers are shared.
func TestConcurrentRequestsDoNotMix(t *testing.T) {
	echo := fake{inject: func(r inject.Request) (*inject.Result, error) {
		name := gjson.GetBytes(r.Pod, "metadata.name").Raw
		return &inject.Result{
			Decision: inject.Decision{Inject: true, Reason: inject.ReasonPolicyEnabled},
			Patch:    []inject.Operation{{Op: "add", Path: "/metadata/labels", Value: `{"of":` + name + `}`}},
			Warnings: []string{name},
		}, nil
	}}
	b := newBench(t, echo)
	server := httptest.NewServer(NewHandler(b.options))
	defer server.Close()
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 50 {
				name := fmt.Sprintf("pod-%d-%d-%s", worker, i, strings.Repeat("x", (i%5)*20000))
				body := reviewOf(`{"kind":"Pod","metadata":{"name":"`+name+`"}}`, func(r *admissionv1.AdmissionReview) {
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
				if string(got.UID) != name || !strings.Contains(string(got.Patch), `{"of":"`+name+`"}`) {
					t.Errorf("the answer to %.30s is for %.30s: %.100s", name, got.UID, got.Patch)
				}
			}
		})
		wg.Go(func() { // the settings change under way
			for range 50 {
				b.settings.Store(echo)
			}
		})
	}
	wg.Wait()
	server.Close() // a request is counted when it has been answered
	if got := b.metric("sidecar_injection_success_total"); got != 400 {
		t.Errorf("success_total = %v, want 400", got)
	}
}

func TestLimitOfConcurrentRequests(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	b := newBench(t, fake{inject: func(r inject.Request) (*inject.Result, error) {
		entered <- struct{}{}
		<-leave
		return patching(r)
	}})
	b.options.MaxConcurrent = 1
	h := NewHandler(b.options)
	first := make(chan *httptest.ResponseRecorder)
	go func() { first <- post(h, reviewOf(smallPod)) }()
	<-entered

	r := httptest.NewRequest(http.MethodPost, registration.InjectPath+"?timeout=20ms", bytes.NewReader(reviewOf(smallPod)))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "limit of 1 concurrent requests") {
		t.Errorf("status %d, %v, %q", w.Code, w.Header(), w.Body)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the API server has given up
	w = httptest.NewRecorder()
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
		t.Error("the first request was refused")
	}
	<-entered
	leave <- struct{}{}
	if got := answerOf(t, <-second); !got.Allowed {
		t.Error("the waiting request was refused")
	}
}

// A panic must give its place back.
func TestPanicsDoNotUseUpPlaces(t *testing.T) {
	b := newBench(t, fake{inject: func(inject.Request) (*inject.Result, error) { panic("again") }})
	b.options.MaxConcurrent = 1
	h := NewHandler(b.options)
	for range 5 {
		answerOf(t, post(h, reviewOf(smallPod)))
	}
	if got := b.metric("sidecar_injection_panics_total"); got != 5 {
		t.Errorf("panics_total = %v, want 5", got)
	}
}

func TestBodyThatEndsEarly(t *testing.T) {
	b := newBench(t, fake{inject: patching})
	body := reviewOf(smallPod)
	r := httptest.NewRequest(http.MethodPost, registration.InjectPath, io.MultiReader(bytes.NewReader(body[:50]), errReader{}))
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = int64(len(body))
	w := httptest.NewRecorder()
	NewHandler(b.options).ServeHTTP(w, r)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "50 bytes in: connection lost") {
		t.Errorf("status %d, %q", w.Code, w.Body)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, fmt.Errorf("connection lost") }

// FuzzHandler sends any bytes as a body: the answer is a text with a status of
// 400 or 413, or a review that carries the request's uid.
// fuzzSeeds are bodies that reach the injector, and ones that do not.
var fuzzSeeds = [][]byte{
	reviewOf(smallPod),
	reviewOf("null"),
	reviewOf(`{"kind":"ConfigMap"}`),
	reviewOf(`{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{"sidecar.istio.io/proxyCPU":"many"}},"spec":{"containers":[{"name":"a"}]}}`),
	reviewOf(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"annotations":{"sidecar.istio.io/proxyCPU":"1"}},"spec":{"template":{"spec":{"containers":[{"name":"a"}]}}}}`),
	[]byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"\ud800","object":{}}}`),
	[]byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1"}`),
	[]byte(`[`),
}

// fuzzDoors are both doors, with an injector for tests and with the real one.
func fuzzDoors(tb testing.TB) map[string]http.Handler {
	metrics, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	injector, problems := inject.Compile(config.Default(), inject.Environment{})
	if injector == nil {
		tb.Fatal(problems.Err())
	}
	echo := &Settings{}
	echo.Store(fake{inject: patching, review: func(b []byte, _ string, _ map[string]string) []string { return []string{string(b)} }})
	whole := &Settings{}
	whole.Store(injector)
	out := map[string]http.Handler{}
	for name, settings := range map[string]*Settings{"": echo, "real-": whole} {
		o := Options{Settings: settings, Log: logr.Discard(), Metrics: metrics}
		out[name+"pods"], out[name+"workloads"] = NewHandler(o), NewWorkloadHandler(o)
	}
	return out
}

// Seeds get through to a patch, a refusal and a warning by the real injector, so
// that fuzzing starts at the core.
func TestFuzzSeedsReachTheCore(t *testing.T) {
	doors := fuzzDoors(t)
	patched, refused, warned := 0, 0, 0
	for _, body := range fuzzSeeds {
		if w := post(doors["real-pods"], body); w.Code == http.StatusOK {
			switch got := answerOf(t, w); {
			case len(got.Patch) > 0:
				patched++
			case !got.Allowed && strings.Contains(got.Result.Message, "sidecar.istio.io/proxyCPU"):
				refused++
			}
		}
		if w := post(doors["real-workloads"], body); w.Code == http.StatusOK && len(answerOf(t, w).Warnings) > 0 {
			warned++
		}
	}
	if patched < 1 || refused < 1 || warned < 1 {
		t.Errorf("%d seeds are patched, %d refused, %d warned about", patched, refused, warned)
	}
}

func FuzzHandler(f *testing.F) {
	for _, body := range fuzzSeeds {
		f.Add(body)
	}
	doors := fuzzDoors(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		for name, h := range doors {
			w := post(h, body)
			if w.Code == http.StatusBadRequest && w.Body.Len() > 0 && w.Body.Len() < 2000 {
				continue
			}
			got := answerOf(t, w)
			if got.UID == "" {
				t.Errorf("%s: an answer without uid: %s", name, w.Body)
			}
			if strings.HasSuffix(name, "workloads") && !got.Allowed {
				t.Errorf("a workload was refused: %s", w.Body)
			}
			if !got.Allowed && (got.Result == nil || got.Result.Message == "") {
				t.Errorf("%s: refused without a message: %s", name, w.Body)
			}
		}
	})
}

// A client that stops in the middle of a body is cut off, so that it does not
// keep its place.
func TestSlowBodyOverTheNetwork(t *testing.T) {
	b := newBench(t, fake{inject: patching})
	h := NewHandler(b.options)
	h.(*door).bodyTimeout = 50 * time.Millisecond
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
