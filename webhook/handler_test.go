package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

const smallPod = `{"kind":"Pod","apiVersion":"v1","metadata":{"generateName":"sleep-"},"spec":{"containers":[{"name":"sleep"}]}}`

func TestRequestsThatAreNoReview(t *testing.T) {
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
		{"no content type", func(r *http.Request) { r.Header.Del("Content-Type") }, nil, 415, `content type ""; send application/json`, "content_type"},
		{"wrong content type", func(r *http.Request) { r.Header.Set("Content-Type", "text/yaml") }, nil, 415, `"text/yaml"`, "content_type"},
		{"malformed content type", func(r *http.Request) { r.Header.Set("Content-Type", "application/json; =") }, nil, 415, "send application/json", "content_type"},
		{"empty body", nil, []byte{}, 400, "the body is empty", "body_empty"},
		{"too large", nil, huge, 413, "at most 7340032", "body_too_large"},
		{"too large, length unknown", func(r *http.Request) { r.ContentLength = -1 }, huge, 413, "more than 7340032", "body_too_large"},
		{"no JSON", nil, []byte("kind: AdmissionReview"), 400, "no JSON AdmissionReview: ", "review_undecodable"},
		{"half a review", nil, reviewOf(smallPod)[:100], 400, "unexpected end", "review_undecodable"},
		{"two reviews", nil, append(reviewOf(smallPod), reviewOf(smallPod)...), 400, "no JSON", "review_undecodable"},
		{"wrong type inside", nil, []byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":7}}`), 400, "uid", "review_undecodable"},
		{"bad encoding", nil, []byte("\xff\xfe{}"), 400, "no JSON", "review_undecodable"},
		{"nested too deeply", nil, []byte(strings.Repeat(`{"request":`, 20000)), 400, "no JSON", "review_undecodable"},
		{"another version", nil, []byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"u"}}`), 400,
			`apiVersion "admission.k8s.io/v1beta1", kind "AdmissionReview"; this webhook speaks admission.k8s.io/v1 AdmissionReview only`, "review_version"},
		{"another kind", nil, []byte(`{"kind":"Pod","apiVersion":"v1"}`), 400, `kind "Pod"`, "review_version"},
		{"an empty object", nil, []byte(`{}`), 400, `apiVersion ""`, "review_version"},
		{"null", nil, []byte(`null`), 400, `apiVersion ""`, "review_version"},
		{"names in another case", nil, []byte(`{"Kind":"AdmissionReview","ApiVersion":"admission.k8s.io/v1"}`), 400, `kind ""`, "review_version"},
		{"no request", nil, []byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`), 400, "has no request", "review_without_request"},
		{"no UID", nil, reviewOf(smallPod, func(r *admissionv1.AdmissionReview) { r.Request.UID = "" }), 400, "has no uid", "review_without_uid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, fake{inject: patching})
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
			NewHandler(b.options).ServeHTTP(w, r)
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

func TestContentTypeWithParametersIsAccepted(t *testing.T) {
	b := newBench(t, fake{inject: patching})
	r := httptest.NewRequest(http.MethodPost, registration.InjectPath, bytes.NewReader(reviewOf(smallPod)))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	w := httptest.NewRecorder()
	NewHandler(b.options).ServeHTTP(w, r)
	if got := answerOf(t, w); !got.Allowed {
		t.Errorf("refused: %v", got.Result)
	}
}

func TestPodReviews(t *testing.T) {
	skipping := func(inject.Request) (*inject.Result, error) {
		return &inject.Result{Decision: inject.Decision{Reason: inject.ReasonHostNetwork}}, nil
	}
	for _, tt := range []struct {
		name     string
		injector Injector
		body     []byte
		allowed  bool
		patched  bool
		code     int32
		message  string
		result   string
		reason   string
		counted  string // the plain counter that goes up by one
	}{
		{"injected", fake{inject: patching}, reviewOf(smallPod), true, true, 0, "", "injected", "policy_enabled", "success"},
		{"unchanged", fake{inject: func(inject.Request) (*inject.Result, error) {
			return &inject.Result{Decision: inject.Decision{Inject: true, Reason: inject.ReasonLabelTrue}}, nil
		}}, reviewOf(smallPod), true, false, 0, "", "unchanged", "label_true", "success"},
		{"skipped", fake{inject: skipping}, reviewOf(smallPod), true, false, 0, "", "skipped", "host_network", "skip"},
		{"refused", fake{inject: func(inject.Request) (*inject.Result, error) {
			return nil, &inject.Error{Code: inject.RefusedAnnotation, Problems: []string{"first is wrong", "second is wrong"}}
		}}, reviewOf(smallPod), false, false, 422, "2 problems: (1) first is wrong (2) second is wrong", "refused", "invalid_annotation", "failure"},
		{"no pod inside", fake{inject: func(inject.Request) (*inject.Result, error) {
			return nil, &inject.Error{Code: inject.RefusedPod, Problems: []string{"spec: not an object"}}
		}}, reviewOf(smallPod), false, false, 400, "spec: not an object", "refused", "invalid_pod", "failure"},
		{"an unexpected error", fake{inject: func(inject.Request) (*inject.Result, error) {
			return nil, errors.New("boom")
		}}, reviewOf(smallPod), false, false, 500, "boom", "error", "internal", "failure"},
		{"a panic", fake{inject: func(inject.Request) (*inject.Result, error) { panic("secret") }},
			reviewOf(smallPod), false, false, 500, "under uid uid-1", "error", "panic", "failure"},
		{"not ready", nil, reviewOf(smallPod), false, false, 503, "no valid configuration yet", "error", "not_ready", "failure"},
		{"another resource", fake{inject: patching}, reviewOf(`{"kind":"Deployment"}`, workload("apps", "Deployment", "deployments")),
			false, false, 400, `resource "deployments" of group "apps"`, "refused", "not_a_pod", "failure"},
		{"pods of another group", fake{inject: patching}, reviewOf(smallPod, workload("metrics.k8s.io", "PodMetrics", "pods")),
			false, false, 400, `group "metrics.k8s.io"`, "refused", "not_a_pod", "failure"},
		{"another kind", fake{inject: patching}, reviewOf(smallPod, func(r *admissionv1.AdmissionReview) { r.Request.Kind.Kind = "Podd" }),
			false, false, 400, "was sent v1 Podd", "refused", "not_a_pod", "failure"},
		{"another kind of object", fake{inject: patching}, reviewOf(`{"kind":"ConfigMap","apiVersion":"v1"}`),
			false, false, 400, "was sent an object of kind ConfigMap", "refused", "not_a_pod", "failure"},
		{"no object", fake{inject: patching}, reviewOf("null"), false, false, 400, "has no object", "refused", "no_object", "failure"},
		{"an object that is a list", fake{inject: patching}, reviewOf("[]"), false, false, 400, "has no object", "refused", "no_object", "failure"},
		{"subresource", fake{inject: patching}, reviewOf(smallPod, func(r *admissionv1.AdmissionReview) { r.Request.SubResource = "ephemeralcontainers" }),
			true, false, 0, "", "ignored", "subresource", ""},
		{"deletion", fake{inject: patching}, reviewOf("", func(r *admissionv1.AdmissionReview) { r.Request.Operation = admissionv1.Delete }),
			true, false, 0, "", "ignored", "operation", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.injector)
			w := post(NewHandler(b.options), tt.body)
			got := answerOf(t, w)
			if got.UID != "uid-1" || got.Allowed != tt.allowed || (len(got.Patch) > 0) != tt.patched || (got.PatchType != nil) != tt.patched {
				t.Errorf("answer %s", w.Body)
			}
			if got.AuditAnnotations["reason"] != tt.reason {
				t.Errorf("audit annotations %v, want reason %q", got.AuditAnnotations, tt.reason)
			}
			if !tt.allowed && (got.Result == nil || got.Result.Code != tt.code || !strings.Contains(got.Result.Message, tt.message)) {
				t.Errorf("refused with %+v; want %d ...%q...", got.Result, tt.code, tt.message)
			}
			if got.Result != nil && strings.Contains(got.Result.Message, "secret") {
				t.Error("the user is shown what the panic said")
			}
			if n := b.metric("sidecar_injection_requests_total", "result", tt.result, "reason", tt.reason); n != 1 {
				t.Errorf("requests_total{%s,%s} = %v", tt.result, tt.reason, n)
			}
			for _, plain := range []string{"success", "failure", "skip"} {
				want := 0.0
				if plain == tt.counted {
					want = 1
				}
				if n := b.metric("sidecar_injection_" + plain + "_total"); n != want {
					t.Errorf("%s_total = %v, want %v", plain, n, want)
				}
			}
			if n := b.metric("sidecar_injection_time_seconds"); n != 1 {
				t.Errorf("%v samples in time_seconds", n)
			}
		})
	}
}

func TestInjectorSeesThePodAsItCame(t *testing.T) {
	pod := `{"kind":"Pod","metadata":{"name":"a"},"spec":{"newerThanWeKnow":{"n":12345678901234567890}}}`
	var seen inject.Request
	b := newBench(t, fake{inject: func(r inject.Request) (*inject.Result, error) { seen = r; return patching(r) }})
	b.options.NamespaceAnnotations = func(ns string) map[string]string { return map[string]string{"of": ns} }
	post(NewHandler(b.options), reviewOf(pod))
	if string(seen.Pod) != pod || seen.Namespace != "shop" || seen.NamespaceAnnotations["of"] != "shop" {
		t.Errorf("the injector saw %s in %q, namespace annotations %v", seen.Pod, seen.Namespace, seen.NamespaceAnnotations)
	}
}

func TestWorkloadReviews(t *testing.T) {
	deployment := workload("apps", "Deployment", "deployments")
	warn := fake{review: func([]byte, string, map[string]string) []string {
		return []string{"the annotation belongs on the pod template"}
	}}
	for _, tt := range []struct {
		name     string
		injector Injector
		body     []byte
		warnings int
		result   string
	}{
		{"warned", warn, reviewOf(`{"kind":"Deployment"}`, deployment), 1, "warned"},
		{"clean", fake{review: func([]byte, string, map[string]string) []string { return nil }}, reviewOf(`{}`, deployment), 0, "clean"},
		{"updated", warn, reviewOf(`{}`, deployment, func(r *admissionv1.AdmissionReview) { r.Request.Operation = admissionv1.Update }), 1, "warned"},
		{"deleted", warn, reviewOf(``, deployment, func(r *admissionv1.AdmissionReview) { r.Request.Operation = admissionv1.Delete }), 0, "ignored"},
		{"status", warn, reviewOf(`{}`, deployment, func(r *admissionv1.AdmissionReview) { r.Request.SubResource = "status" }), 0, "ignored"},
		{"no object", warn, reviewOf(``, deployment), 0, "ignored"},
		{"made by a controller", warn, reviewOf(`{"metadata":{"ownerReferences":[{"kind":"CronJob","controller":true}]}}`, workload("batch", "Job", "jobs")), 0, "ignored"},
		{"owned by no controller", warn, reviewOf(`{"metadata":{"ownerReferences":[{"kind":"App"}]}}`, deployment), 1, "warned"},
		{"not ready", nil, reviewOf(`{}`, deployment), 0, "error"},
		{"a panic", fake{review: func([]byte, string, map[string]string) []string { panic("x") }}, reviewOf(`{}`, deployment), 0, "error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.injector)
			got := answerOf(t, post(NewWorkloadHandler(b.options), tt.body))
			if !got.Allowed || len(got.Patch) > 0 || len(got.Warnings) != tt.warnings {
				t.Errorf("allowed %v, patch %s, warnings %v", got.Allowed, got.Patch, got.Warnings)
			}
			if n := b.metric("sidecar_injection_workload_reviews_total", "result", tt.result); n != 1 {
				t.Errorf("workload_reviews_total{%s} = %v", tt.result, n)
			}
			if n := b.metric("sidecar_injection_requests_total"); n != 0 {
				t.Errorf("a workload was counted among the pods: %v", n)
			}
		})
	}
}

func TestLogLineNamesNoSecret(t *testing.T) {
	pod := `{"kind":"Pod","metadata":{"generateName":"web-","annotations":{"key":"hunter2"},"ownerReferences":[{"kind":"ReplicaSet","name":"web-5d"}]},
		"spec":{"containers":[{"name":"web","env":[{"name":"PASSWORD","value":"hunter2"}]}]}}`
	b := newBench(t, fake{inject: patching})
	var lines []string
	b.options.Log = funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	post(NewHandler(b.options), reviewOf(pod, func(r *admissionv1.AdmissionReview) { r.Request.DryRun = new(true) }))
	if len(lines) != 1 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, want := range []string{
		`"door"="inject"`, `"result"="injected"`, `"reason"="policy_enabled"`, `"uid"="uid-1"`, `"namespace"="shop"`,
		`"name"="web-"`, `"owner"="ReplicaSet/web-5d"`, `"config"="0123456789abcdef"`, `"dryRun"=true`, `"duration"=`,
	} {
		if !strings.Contains(lines[0], want) {
			t.Errorf("the line lacks %s: %s", want, lines[0])
		}
	}
	if strings.Contains(lines[0], "hunter2") {
		t.Errorf("the line holds what the pod keeps: %s", lines[0])
	}
}

func TestConfigMetrics(t *testing.T) {
	b := newBench(t, nil)
	at := httptestTime
	b.options.Metrics.ConfigLoaded("one", at)
	b.options.Metrics.ConfigLoaded("two", at)
	b.options.Metrics.ConfigRejected()
	for name, want := range map[string]float64{
		"sidecar_injection_config_info": 1, "sidecar_injection_config_rejections_total": 1,
		"sidecar_injection_config_last_load_timestamp_seconds": 1750000000.5,
	} {
		if got := b.metric(name); got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	if got := b.metric("sidecar_injection_config_info", "hash", "two"); got != 1 {
		t.Error("the hash in force is not reported")
	}
}

func TestManyProblemsAreBounded(t *testing.T) {
	problems := make([]string, 5000)
	for i := range problems {
		problems[i] = fmt.Sprintf("problem %d: %s", i, strings.Repeat("x", 2000))
	}
	got := refusalText(problems)
	if len(got) > maxMessage+100 || !strings.HasPrefix(got, "5000 problems: (1) problem 0: xxx") || !strings.HasSuffix(got, " and 4993 more") {
		t.Errorf("%d bytes, %.60q ... %q", len(got), got, got[len(got)-40:])
	}
}
