package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/go-logr/logr/funcr"
	"github.com/tidwall/gjson"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

const smallPod = `{"kind":"Pod","apiVersion":"v1","metadata":{"generateName":"sleep-"},"spec":{"containers":[{"name":"sleep"}]}}`

func TestHandler_RejectsNonReview(t *testing.T) {
	injector := compiled(t, "")
	huge := append([]byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"`), bytes.Repeat([]byte("a"), maxBody)...)
	for _, tt := range []struct {
		name   string
		edit   func(*http.Request)
		body   []byte
		status int
		text   string // part of the answer
		reason string
	}{
		{"method", func(r *http.Request) { r.Method = http.MethodGet }, nil, 405, "by POST", "method"},
		{"no content type", func(r *http.Request) { r.Header.Del("Content-Type") }, nil, 415, `content type "" is not supported; send application/json`, "content_type"},
		{"wrong content type", func(r *http.Request) { r.Header.Set("Content-Type", "text/yaml") }, nil, 415, `"text/yaml"`, "content_type"},
		{"malformed content type", func(r *http.Request) { r.Header.Set("Content-Type", "application/json; =") }, nil, 415, "send application/json", "content_type"},
		{"empty body", nil, []byte{}, 400, "empty body", "body_empty"},
		{"too large", nil, huge, 413, "AdmissionReview of 7340111 bytes exceeds the limit of 7340032 bytes", "body_too_large"},
		{"too large, length unknown", func(r *http.Request) { r.ContentLength = -1 }, huge, 413, "AdmissionReview exceeds the limit of 7340032 bytes", "body_too_large"},
		{"not JSON", nil, []byte("kind: AdmissionReview"), 400, "invalid AdmissionReview JSON: ", "review_undecodable"},
		{"half a review", nil, reviewOf(smallPod)[:100], 400, "unexpected end", "review_undecodable"},
		{"two reviews", nil, append(reviewOf(smallPod), reviewOf(smallPod)...), 400, "invalid AdmissionReview JSON", "review_undecodable"},
		{"wrong type inside", nil, []byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":7}}`), 400, "uid", "review_undecodable"},
		{"bad encoding", nil, []byte("\xff\xfe{}"), 400, "invalid AdmissionReview JSON", "review_undecodable"},
		{"nested too deeply", nil, []byte(strings.Repeat(`{"request":`, 20000)), 400, "invalid AdmissionReview JSON", "review_undecodable"},
		{"another version", nil, []byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"u"}}`), 400,
			`apiVersion "admission.k8s.io/v1beta1", kind "AdmissionReview": only admission.k8s.io/v1 AdmissionReview is supported`, "review_version"},
		{"another kind", nil, []byte(`{"kind":"Pod","apiVersion":"v1"}`), 400, `kind "Pod"`, "review_version"},
		{"an empty object", nil, []byte(`{}`), 400, `apiVersion ""`, "review_version"},
		{"null", nil, []byte(`null`), 400, `apiVersion ""`, "review_version"},
		{"names in another case", nil, []byte(`{"Kind":"AdmissionReview","ApiVersion":"admission.k8s.io/v1"}`), 400, `kind ""`, "review_version"},
		{"no request", nil, []byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`), 400, "request is required", "review_without_request"},
		{"no UID", nil, reviewOf(smallPod, func(r *admissionv1.AdmissionReview) { r.Request.UID = "" }), 400, "request.uid is required", "review_without_uid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, injector)
			body := tt.body
			if body == nil {
				body = reviewOf(smallPod)
			}
			r := httptest.NewRequest(http.MethodPost, registration.InjectPath, bytes.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			if tt.edit != nil {
				tt.edit(r)
			}
			w := httptest.NewRecorder()
			NewPodHandler(b.options).ServeHTTP(w, r)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.text) {
				t.Errorf("status %d, %q; want %d, ...%q...", w.Code, w.Body, tt.status, tt.text)
			}
			if w.Body.Len() > 1000 {
				t.Errorf("the message has %d bytes", w.Body.Len())
			}
			if got := b.metric("sidecar_injection_requests_total", "result", "error", "reason", tt.reason); got != 1 {
				t.Errorf("requests_total{error,%s} = %v", tt.reason, got)
			}
			if got := b.metric("sidecar_injection_failure_total"); got != 1 {
				t.Errorf("failure_total = %v", got)
			}
		})
	}
}

func TestHandler_AcceptsContentTypeParameters(t *testing.T) {
	b := newFixture(t, compiled(t, ""))
	r := httptest.NewRequest(http.MethodPost, registration.InjectPath, bytes.NewReader(reviewOf(smallPod)))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	w := httptest.NewRecorder()
	NewPodHandler(b.options).ServeHTTP(w, r)
	if got := answerOf(t, w); !got.Allowed {
		t.Errorf("denied: %v", got.Result)
	}
}

// podAnswer is what is expected of the response to a pod.
type podAnswer struct {
	allowed bool
	patched bool
	code    int32
	message string // part of it
	result  string
	reason  string
	counted string // the plain counter that goes up by one
}

func TestPodHandler(t *testing.T) {
	labelled := strings.Replace(smallPod, `"metadata":{`, `"metadata":{"labels":{"sidecar.istio.io/inject":"true"},`, 1)
	annotated := strings.Replace(smallPod, `"metadata":{`, `"metadata":{"annotations":{"sidecar.istio.io/proxyCPU":"many","sidecar.istio.io/proxyMemory":"much"},`, 1)
	host := strings.Replace(smallPod, `"spec":{`, `"spec":{"hostNetwork":true,`, 1)
	injector := compiled(t, "")
	for _, tt := range []struct {
		name     string
		injector *inject.Injector
		body     []byte
		want     podAnswer
	}{
		{"injected", injector, reviewOf(smallPod), podAnswer{true, true, 0, "", "injected", "policy_enabled", "success"}},
		{"unchanged", injector, reviewOf(injectedPod(t, injector, labelled)), podAnswer{true, false, 0, "", "unchanged", "label_true", "success"}},
		{"skipped", injector, reviewOf(host), podAnswer{true, false, 0, "", "skipped", "host_network", "skip"}},
		{"denied", injector, reviewOf(annotated), podAnswer{false, false, 422, "2 problems: (1) ", "denied", "invalid_annotation", "failure"}},
		{"not a pod inside", injector, reviewOf(`{"kind":"Pod","spec":7}`), podAnswer{false, false, 400, "spec: ", "denied", "invalid_pod", "failure"}},
		{"not ready", nil, reviewOf(smallPod), podAnswer{false, false, 503, "no valid configuration loaded", "error", "not_ready", "failure"}},
		{"another resource", injector, reviewOf(`{"kind":"Deployment"}`, workload("apps", "Deployment", "deployments")),
			podAnswer{false, false, 400, `unexpected resource "deployments" (group "apps"`, "denied", "not_a_pod", "failure"}},
		{"pods of another group", injector, reviewOf(smallPod, workload("metrics.k8s.io", "PodMetrics", "pods")),
			podAnswer{false, false, 400, `group "metrics.k8s.io"`, "denied", "not_a_pod", "failure"}},
		{"another kind", injector, reviewOf(smallPod, func(r *admissionv1.AdmissionReview) { r.Request.Kind.Kind = "Podd" }),
			podAnswer{false, false, 400, "expected v1 Pod, got v1 Podd", "denied", "not_a_pod", "failure"}},
		{"another kind of object", injector, reviewOf(`{"kind":"ConfigMap","apiVersion":"v1"}`),
			podAnswer{false, false, 400, "expected v1 Pod, got an object of kind ConfigMap", "denied", "not_a_pod", "failure"}},
		{"no object", injector, reviewOf("null"), podAnswer{false, false, 400, "request.object is required", "denied", "no_object", "failure"}},
		{"an object that is a list", injector, reviewOf("[]"), podAnswer{false, false, 400, "request.object is required", "denied", "no_object", "failure"}},
		{"subresource", injector, reviewOf(smallPod, func(r *admissionv1.AdmissionReview) { r.Request.SubResource = "ephemeralcontainers" }),
			podAnswer{true, false, 0, "", "ignored", "subresource", ""}},
		{"deletion", injector, reviewOf("", func(r *admissionv1.AdmissionReview) { r.Request.Operation = admissionv1.Delete }),
			podAnswer{true, false, 0, "", "ignored", "operation", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, tt.injector)
			tt.want.check(b, post(NewPodHandler(b.options), tt.body))
		})
	}
}

// An internal error denies the pod, and the message does not show a panic's
// value.
func TestPodHandler_InternalErrors(t *testing.T) {
	t.Run("panic", func(t *testing.T) {
		b := newFixture(t, nil)
		b.options.Active = func() *inject.Injector { panic("secret") }
		podAnswer{false, false, 500, "for uid uid-1", "error", "panic", "failure"}.check(b, post(NewPodHandler(b.options), reviewOf(smallPod)))
	})
	t.Run("unexpected error", func(t *testing.T) {
		b := newFixture(t, nil)
		h := NewPodHandler(b.options)
		h.(*handler).decide = func(*request) answer { return notInjected(errors.New("boom")) }
		podAnswer{false, false, 500, "boom", "error", "internal", "failure"}.check(b, post(h, reviewOf(smallPod)))
	})
}

// injectedPod is a pod as it is after injection.
func injectedPod(t *testing.T, i *inject.Injector, pod string) string {
	t.Helper()
	result, err := i.Inject(inject.Request{Pod: []byte(pod), Namespace: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(inject.AppendPatch(nil, result.Patch))
	if err != nil {
		t.Fatal(err)
	}
	out, err := patch.Apply([]byte(pod))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// check compares a response and what was counted of it.
func (want podAnswer) check(b *fixture, w *httptest.ResponseRecorder) {
	t := b.t
	t.Helper()
	got := answerOf(t, w)
	if got.UID != "uid-1" || got.Allowed != want.allowed || (len(got.Patch) > 0) != want.patched || (got.PatchType != nil) != want.patched {
		t.Errorf("response %s", w.Body)
	}
	if got.AuditAnnotations["reason"] != want.reason {
		t.Errorf("audit annotations %v, want reason %q", got.AuditAnnotations, want.reason)
	}
	if !want.allowed && (got.Result == nil || got.Result.Code != want.code || !strings.Contains(got.Result.Message, want.message)) {
		t.Errorf("denied with %+v; want %d ...%q...", got.Result, want.code, want.message)
	}
	if got.Result != nil && strings.Contains(got.Result.Message, "secret") {
		t.Error("the message has the panic's value")
	}
	if n := b.metric("sidecar_injection_requests_total", "result", want.result, "reason", want.reason); n != 1 {
		t.Errorf("requests_total{%s,%s} = %v", want.result, want.reason, n)
	}
	for _, plain := range []string{"success", "failure", "skip"} {
		expected := 0.0
		if plain == want.counted {
			expected = 1
		}
		if n := b.metric("sidecar_injection_" + plain + "_total"); n != expected {
			t.Errorf("%s_total = %v, want %v", plain, n, expected)
		}
	}
	if n := b.metric("sidecar_injection_time_seconds"); n != 1 {
		t.Errorf("%v samples in time_seconds", n)
	}
}

// The patch is against the pod as it came, with fields newer than the API types,
// and the namespace's annotations are those of the request's namespace.
func TestPodHandler_PatchesThePodAsReceived(t *testing.T) {
	pod := `{"kind":"Pod","metadata":{"name":"a"},"spec":{"newField":{"n":12345678901234567890},"containers":[{"name":"a","image":"a"}]}}`
	b := newFixture(t, compiled(t, ""))
	var namespaces []string
	b.options.NamespaceAnnotations = func(ns string) map[string]string {
		namespaces = append(namespaces, ns)
		return map[string]string{"openshift.io/sa.scc.uid-range": "1000700000/10000"}
	}
	got := answerOf(t, post(NewPodHandler(b.options), reviewOf(pod)))
	patch, err := jsonpatch.DecodePatch(got.Patch)
	if err != nil {
		t.Fatal(err)
	}
	out, err := patch.Apply([]byte(pod))
	if err != nil {
		t.Fatal(err)
	}
	if n := gjson.GetBytes(out, "spec.newField.n").Raw; n != "12345678901234567890" {
		t.Errorf("spec.newField.n is %q after the patch", n)
	}
	if !slices.Equal(namespaces, []string{"shop"}) || !strings.Contains(string(got.Patch), "10007") {
		t.Errorf("annotations of namespaces %q; patch %s", namespaces, got.Patch)
	}
}

func TestWorkloadHandler(t *testing.T) {
	deployment := workload("apps", "Deployment", "deployments")
	object := func(kind, metadata string) string {
		version := map[string]string{"Deployment": "apps/v1", "Job": "batch/v1"}[kind]
		return `{"apiVersion":"` + version + `","kind":"` + kind + `","metadata":{` + metadata + `},"spec":{"template":{"spec":{"containers":[{"name":"a","image":"a"}]}}}}`
	}
	const misplaced = `"annotations":{"sidecar.istio.io/proxyCPU":"1"}`
	misplacing := object("Deployment", misplaced)
	injector := compiled(t, "")
	for _, tt := range []struct {
		name     string
		injector *inject.Injector
		body     []byte
		warnings int
		result   string
	}{
		{"warned", injector, reviewOf(misplacing, deployment), 1, "warned"},
		{"clean", injector, reviewOf(object("Deployment", ""), deployment), 0, "clean"},
		{"updated", injector, reviewOf(misplacing, deployment, func(r *admissionv1.AdmissionReview) { r.Request.Operation = admissionv1.Update }), 1, "warned"},
		{"deleted", injector, reviewOf(``, deployment, func(r *admissionv1.AdmissionReview) { r.Request.Operation = admissionv1.Delete }), 0, "ignored"},
		{"status", injector, reviewOf(misplacing, deployment, func(r *admissionv1.AdmissionReview) { r.Request.SubResource = "status" }), 0, "ignored"},
		{"no object", injector, reviewOf(``, deployment), 0, "ignored"},
		{"created by a controller", injector, reviewOf(object("Job", misplaced+`,"ownerReferences":[{"kind":"CronJob","controller":true}]`), workload("batch", "Job", "jobs")), 0, "ignored"},
		{"owned, not by a controller", injector, reviewOf(object("Deployment", misplaced+`,"ownerReferences":[{"kind":"App"}]`), deployment), 1, "warned"},
		{"not ready", nil, reviewOf(misplacing, deployment), 0, "error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, tt.injector)
			checkWorkload(b, post(NewWorkloadHandler(b.options), tt.body), tt.warnings, tt.result)
		})
	}
	t.Run("panic", func(t *testing.T) {
		b := newFixture(t, nil)
		b.options.Active = func() *inject.Injector { panic("x") }
		checkWorkload(b, post(NewWorkloadHandler(b.options), reviewOf(misplacing, deployment)), 0, "error")
	})
}

func checkWorkload(b *fixture, w *httptest.ResponseRecorder, warnings int, result string) {
	t := b.t
	t.Helper()
	got := answerOf(t, w)
	if !got.Allowed || len(got.Patch) > 0 || len(got.Warnings) != warnings {
		t.Errorf("allowed %v, patch %s, warnings %v", got.Allowed, got.Patch, got.Warnings)
	}
	if n := b.metric("sidecar_injection_workload_reviews_total", "result", result); n != 1 {
		t.Errorf("workload_reviews_total{%s} = %v", result, n)
	}
	if n := b.metric("sidecar_injection_requests_total"); n != 0 {
		t.Errorf("a workload was counted among the pods: %v", n)
	}
}

func TestHandler_LogsNoSecrets(t *testing.T) {
	pod := `{"kind":"Pod","metadata":{"generateName":"web-","annotations":{"key":"hunter2"},"ownerReferences":[{"kind":"ReplicaSet","name":"web-5d"}]},
		"spec":{"containers":[{"name":"web","env":[{"name":"PASSWORD","value":"hunter2"}]}]}}`
	b := newFixture(t, compiled(t, ""))
	var lines []string
	b.options.Log = funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	post(NewPodHandler(b.options), reviewOf(pod, func(r *admissionv1.AdmissionReview) { r.Request.DryRun = new(true) }))
	if len(lines) != 1 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, want := range []string{
		`"handler"="inject"`, `"result"="injected"`, `"reason"="policy_enabled"`, `"uid"="uid-1"`, `"namespace"="shop"`,
		`"name"="web-"`, `"owner"="ReplicaSet/web-5d"`, `"config"="` + b.active.Load().Hash() + `"`, `"dryRun"=true`, `"duration"=`,
	} {
		if !strings.Contains(lines[0], want) {
			t.Errorf("the line lacks %s: %s", want, lines[0])
		}
	}
	if strings.Contains(lines[0], "hunter2") {
		t.Errorf("the line has a secret of the pod: %s", lines[0])
	}
}

func TestJoin_IsBounded(t *testing.T) {
	problems := make(problem.List, 5000)
	for i := range problems {
		problems[i] = problem.Invalid("", "", fmt.Sprintf("problem %d: %s", i, strings.Repeat("x", 2000)), "")
	}
	got := inline.join(problems)
	if len(got) > maxMessage+100 || !strings.HasPrefix(got, "5000 problems: (1) problem 0: xxx") || !strings.HasSuffix(got, " and 4993 more") {
		t.Errorf("%d bytes, %.60q ... %q", len(got), got, got[len(got)-40:])
	}
}
