package inject

import (
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/jsontree"
)

// meddling is a template that touches all it can: the user's containers,
// scalars, lists and maps of the pod.
const meddling = `
templates:
  meddling: |
    metadata:
      labels: {team: x, app: changed}
      annotations: {note: new}
    spec:
      terminationGracePeriodSeconds: 99
      dnsConfig: {searches: [a.b]}
      hostname: null
      hostAliases: [{ip: 1.2.3.4, hostnames: [h]}]
      imagePullSecrets: [{name: mine}, {name: yours}]
      volumes: [{name: data, emptyDir: {medium: Memory}}, {name: extra, emptyDir: {}}]
      containers:
      - name: app
        env: [{name: A, value: changed}, {name: B, value: new}]
        args: [other]
        volumeMounts: [{name: extra, mountPath: /extra}]
      - name: helper
        image: h
defaultTemplates: [sidecar, meddling]
`

const ownPod = `{"metadata":{"name":"a","labels":{"app":"web"}},"spec":{"hostname":"h","terminationGracePeriodSeconds":5,` +
	`"imagePullSecrets":[{"name":"mine"}],"volumes":[{"name":"data","emptyDir":{}}],"initContainers":[{"name":"setup","image":"s"}],` +
	`"containers":[{"name":"app","image":"i","args":["one"],"env":[{"name":"A","value":"1"}],"future":{"x":1}},` +
	`{"name":"istio-proxy","image":"auto","env":[{"name":"MINE","value":"yes"}],"resources":{"limits":{"cpu":"3"}}}]}}`

// TestReinjectionAfterConfigurationChange: injecting a pod that an earlier configuration
// injected gives exactly what injecting the user's own pod gives.
func TestReinjectionAfterConfigurationChange(t *testing.T) {
	injectors := map[string]*Injector{
		"default":  mustCompile(t, config.Texts{}, Environment{}),
		"classic":  mustCompile(t, config.Texts{}, Environment{Kubernetes: Version{1, 28}}),
		"ranges":   mustCompile(t, config.Texts{Values: "global: {proxy: {includeIPRanges: 10.0.0.0/8}, imagePullSecrets: [mine, theirs]}"}, Environment{}),
		"meddling": mustCompile(t, config.Texts{Config: meddling}, Environment{}),
		"noted":    mustCompile(t, config.Texts{Config: "injectedAnnotations: {a/b: c}"}, Environment{}),
	}
	pods := map[string]string{
		"own":       ownPod,
		"small":     `{"spec":{"containers":[{"name":"app","image":"i"}]}}`,
		"annotated": `{"metadata":{"annotations":{"x":"y"},"labels":{}},"spec":{"containers":[{"name":"app","image":"i"}],"volumes":[]}}`,
	}
	for podName, pod := range pods {
		for fromName, from := range injectors {
			for toName, to := range injectors {
				first := mustInject(t, from, Request{Pod: []byte(pod)})
				want := mustInject(t, to, Request{Pod: []byte(pod)}).PodJSON()
				got := mustInject(t, to, Request{Pod: first.PodJSON()}).PodJSON()
				if !jsonpatch.Equal(got, want) {
					ops := jsontree.Diff(jsontree.Parse(string(want)), jsontree.Parse(string(got)))
					t.Errorf("%s: %s, then %s differs: %s", podName, fromName, toName, printOps(ops))
				}
			}
		}
	}
}

// TestOtherWebhooksChangesAreKept: what other webhooks do to our containers after the
// first call is still there after the second.
func TestOtherWebhooksChangesAreKept(t *testing.T) {
	i := mustCompile(t, config.Texts{}, Environment{})
	first := mustInject(t, i, Request{Pod: []byte(ownPod)}).PodJSON()
	changed := applyJSON(t, first, `[
		{"op":"add","path":"/spec/containers/-","value":{"name":"other","image":"o"}},
		{"op":"add","path":"/spec/initContainers/0/env/-","value":{"name":"OTHER","value":"1"}},
		{"op":"add","path":"/spec/initContainers/0/volumeMounts/-","value":{"name":"v","mountPath":"/v"}}]`)
	result, err := i.Inject(Request{Pod: changed})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Patch) > 0 {
		t.Errorf("the second call changes %s", AppendPatch(nil, result.Patch))
	}
}

// TestTamperingIsRepaired: a forged status annotation does not bypass the sidecar.
func TestTamperingIsRepaired(t *testing.T) {
	i := mustCompile(t, config.Texts{}, Environment{})
	first := mustInject(t, i, Request{Pod: []byte(`{"spec":{"containers":[{"name":"app","image":"i"}]}}`)}).PodJSON()
	for name, patch := range map[string]string{
		"other image":     `[{"op":"replace","path":"/spec/initContainers/0/image","value":"fake"}]`,
		"other arguments": `[{"op":"replace","path":"/spec/initContainers/1/args","value":[]}]`,
		"no waiting":      `[{"op":"remove","path":"/spec/initContainers/1/args/20"}]`,
		"no init":         `[{"op":"remove","path":"/spec/initContainers/1"}]`,
		"no sidecar":      `[{"op":"remove","path":"/spec/initContainers"}]`,
		"other order":     `[{"op":"move","from":"/spec/initContainers/1","path":"/spec/initContainers/0"}]`,
	} {
		got := mustInject(t, i, Request{Pod: applyJSON(t, first, patch)}).PodJSON()
		if !jsonpatch.Equal(got, first) {
			t.Errorf("%s: stays\n%s", name, got)
		}
	}
}

// TestUserOverridesAreRecorded: the user's container is recorded as it was written, so
// that it can be put back in its own order.
func TestUserOverridesAreRecorded(t *testing.T) {
	i := mustCompile(t, config.Texts{}, Environment{})
	for _, container := range []string{
		`{"name":"istio-proxy","image":"auto","env":[{"name":"A","value":"1"}]}`,
		`{"env":[{"value":"1","name":"A"}],"image":"auto","name":"istio-proxy"}`,
	} {
		pod := `{"spec":{"containers":[{"name":"app","image":"i"},` + container + `]}}`
		first := mustInject(t, i, Request{Pod: []byte(pod)}).PodJSON()
		got := jsontree.Parse(string(first)).At("metadata", "annotations", "proxy.istio.io/overrides").Text()
		if want := `{"containers":[` + container + `]}`; got != want {
			t.Errorf("record %s\nwant %s", got, want)
		}
		back, err := Uninjector{}.Inject(Request{Pod: first})
		if got := string((injected{back, first}).PodJSON()); err != nil || got != pod {
			t.Errorf("uninjected: %v\n%s\nwant\n%s", err, got, pod)
		}
	}
}

func TestUninjectRejects(t *testing.T) {
	for _, pod := range []string{"{", `{"metadata":{"annotations":{"sidecar.istio.io/status":"nonsense"}},"spec":{}}`} {
		if r, err := (Uninjector{}).Inject(Request{Pod: []byte(pod)}); err == nil {
			t.Errorf("%s: %+v", pod, r)
		}
	}
	clean := `{"spec":{"containers":[]}}`
	if r, err := (Uninjector{}).Inject(Request{Pod: []byte(clean)}); err != nil || r.Decision.Inject || len(r.Patch) > 0 || string((injected{r, []byte(clean)}).PodJSON()) != clean {
		t.Errorf("%+v, %v", r, err)
	}
	istio := `{"metadata":{"annotations":{"sidecar.istio.io/status":"{\"containers\":[\"istio-proxy\"],\"volumes\":[\"istio-envoy\"]}"}},"spec":{"containers":[{"name":"a"},{"name":"istio-proxy"}],"volumes":[{"name":"istio-envoy"}]}}`
	if r, err := (Uninjector{}).Inject(Request{Pod: []byte(istio)}); err != nil || len(r.Warnings) != 1 || strings.Contains(string((injected{r, nil}).PodJSON()), "istio-") {
		t.Errorf("%s, %v, %+v", injected{r, nil}.PodJSON(), err, r)
	}
}

func TestInvalidStatusIsReplaced(t *testing.T) {
	i := mustCompile(t, config.Texts{}, Environment{})
	result := mustInject(t, i, Request{Pod: podWith("sidecar.istio.io/status", "nonsense")})
	if !strings.Contains(strings.Join(result.Warnings.Strings(), "\n"), "sidecar.istio.io/status") {
		t.Errorf("no warning: %q", result.Warnings)
	}
	// Istio's own record names the parts to take out.
	istio := `{"metadata":{"annotations":{"sidecar.istio.io/status":"{\"initContainers\":[\"istio-init\"],\"containers\":[\"istio-proxy\"],\"volumes\":[\"istio-envoy\"],\"imagePullSecrets\":null,\"revision\":\"default\"}"}},` +
		`"spec":{"initContainers":[{"name":"istio-init","image":"x"}],"containers":[{"name":"app","image":"i"},{"name":"istio-proxy","image":"x"}],"volumes":[{"name":"istio-envoy","emptyDir":{}}]}}`
	got := string(mustInject(t, i, Request{Pod: []byte(istio)}).PodJSON())
	if strings.Contains(got, "istio-envoy") || strings.Contains(got, `"image":"x"`) {
		t.Errorf("Istio's sidecar is still there: %s", got)
	}
}

func printOps(ops []jsontree.Op) string {
	var out []string
	for _, op := range ops {
		out = append(out, sprintf("%s %s %.300s", op.Op, op.Path, op.Value.JSON()))
	}
	return strings.Join(out, "\n")
}

func applyJSON(t *testing.T, doc []byte, text string) []byte {
	t.Helper()
	patch, err := jsonpatch.DecodePatch([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	out, err := patch.Apply(doc)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
