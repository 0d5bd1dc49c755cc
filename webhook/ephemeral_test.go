package webhook

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
)

// withEphemeral is an injected pod with ephemeral containers, as JSON.
func withEphemeral(containers string) string {
	return `{"metadata":{"name":"a"},"spec":{"containers":[{"name":"app"}],"initContainers":[{"name":"istio-init","args":["-g","77"]},{"name":"istio-proxy","securityContext":{"runAsUser":1500}}],"ephemeralContainers":[` + containers + `]}}`
}

func TestEphemeralHandler(t *testing.T) {
	b := newFixture(t, compiled(t, ""))
	handler := NewEphemeralHandler(b.options)
	const bad = `{"name":"bad","securityContext":{"runAsUser":1500}}`
	for _, tt := range []struct {
		name, pod, old string
		edit           func(*admissionv1.AdmissionReview)
		denied         string // a part of the message; "" where it is allowed
	}{
		{name: "nothing special", pod: withEphemeral(`{"name":"debug"}`)},
		{name: "another uid than the pod's sidecar has", pod: withEphemeral(`{"name":"debug","securityContext":{"runAsUser":1337}}`)},
		{name: "the uid", pod: withEphemeral(`{"name":"debug"},` + bad), denied: "pod a: spec.ephemeralContainers[1].securityContext.runAsUser: 1500: the sidecar's uid"},
		{name: "an exempt group", pod: withEphemeral(`{"name":"debug","securityContext":{"runAsGroup":77}}`), denied: "runAsGroup: 77: the sidecar's gid"},
		{name: "the uid by the pod", pod: strings.Replace(withEphemeral(`{"name":"debug"}`), `"spec":{`, `"spec":{"securityContext":{"runAsUser":1500},`, 1), denied: "runAsUser: 1500"},
		{name: "the name of an injected container", pod: withEphemeral(`{"name":"istio-init"}`), denied: `spec.ephemeralContainers[0].name: "istio-init": the name of an injected container`},
		{name: "what the pod has already", pod: withEphemeral(bad + `,{"name":"debug"}`), old: withEphemeral(bad)},
		{name: "no sidecar", pod: strings.ReplaceAll(withEphemeral(bad), "istio-", "other-")},
		{name: "no redirect", pod: strings.ReplaceAll(withEphemeral(bad), "istio-init", "other")},
		{name: "another subresource", pod: withEphemeral(bad), edit: func(rv *admissionv1.AdmissionReview) { rv.Request.SubResource = "status" }},
		{name: "not a pod", pod: `{"spec":[]}`, denied: "spec"},
	} {
		rv := reviewOf(tt.pod, func(rv *admissionv1.AdmissionReview) {
			rv.Request.Operation, rv.Request.SubResource = admissionv1.Update, "ephemeralcontainers"
			if tt.old != "" {
				rv.Request.OldObject.Raw = []byte(tt.old)
			}
			if tt.edit != nil {
				tt.edit(rv)
			}
		})
		got, message := answerOf(t, post(handler, rv)), ""
		if got.Result != nil {
			message = got.Result.Message
		}
		if got.Allowed != (tt.denied == "") || !strings.Contains(message, tt.denied) {
			t.Errorf("%s: allowed %v, %q; want %q", tt.name, got.Allowed, message, tt.denied)
		}
	}
	if n := b.metric("outrider_validation_requests_total", "resource", "pods", "result", "denied"); n < 5 {
		t.Errorf("%v denials counted", n)
	}
	b.active.Store(nil)
	rv := reviewOf(withEphemeral(bad), func(rv *admissionv1.AdmissionReview) { rv.Request.SubResource = "ephemeralcontainers" })
	if answerOf(t, post(handler, rv)).Allowed {
		t.Error("allowed without a configuration")
	}
}

func TestImageHandler(t *testing.T) {
	cfg, problems := config.Parse(config.Texts{Mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}, config.Labels{})
	if cfg == nil {
		t.Fatal(problems.Err())
	}
	injector, problems := inject.Compile(cfg, inject.Environment{})
	if injector == nil {
		t.Fatal(problems.Err())
	}
	b := newFixture(t, injector)
	handler := NewImageHandler(b.options)
	pod := func(proxy, app string) string {
		return `{"metadata":{"name":"a"},"spec":{"containers":[{"name":"app","image":"` + app + `"}],"initContainers":[{"name":"istio-proxy","image":"` + proxy + `"}]}}`
	}
	const configured = "docker.io/envoyproxy/envoy:distroless-v1.40.0"
	for _, tt := range []struct{ name, old, pod, want string }{
		{"another image", pod(configured, "a"), pod("example.com/sh:1", "a"), `pod a: spec.initContainers[0].image: "example.com/sh:1": bypasses REGISTRY_ONLY: replaces the program of an injected container; use the configured image`},
		{"another version", pod(configured, "a"), pod("docker.io/envoyproxy/envoy:distroless-v1.40.1", "a"), ""},
		{"the image it had", pod("example.com/sh:1", "a"), pod("example.com/sh:1", "b"), ""},
		{"back", pod("example.com/sh:1", "a"), pod(configured, "a"), ""},
		{"the application's", pod(configured, "a"), pod(configured, "b"), ""},
		{"not a pod", pod(configured, "a"), `{"spec":[]}`, ""},
	} {
		rv := reviewOf(tt.pod, func(rv *admissionv1.AdmissionReview) {
			rv.Request.Operation, rv.Request.OldObject.Raw = admissionv1.Update, []byte(tt.old)
		})
		if got := answerOf(t, post(handler, rv)); !got.Allowed || strings.Join(got.Warnings, "\n") != tt.want {
			t.Errorf("%s: allowed %v, %q; want %q", tt.name, got.Allowed, got.Warnings, tt.want)
		}
	}
}
