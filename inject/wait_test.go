package inject

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/config"
)

// istio-init waits only for a sidecar that starts before it; another one has a startup
// probe instead, and neither if probes are disabled.
func TestWhoWaitsForTheSidecar(t *testing.T) {
	const none = `{"metadata":{"annotations":{"sidecar.istio.io/interceptionMode":"NONE"}},"spec":{"containers":[{"name":"app","image":"i"}]}}`
	const plain = `{"spec":{"containers":[{"name":"app","image":"i"}]}}`
	for _, c := range []struct {
		name, values, pod  string
		minor              int
		order              string
		waits, probe, warn bool
	}{
		{"native", "", plain, 37, "istio-proxy istio-init | app", true, false, false},
		{"classic", "", plain, 28, "istio-init | app istio-proxy", false, true, false},
		{"without a redirect", "", none, 37, "istio-proxy | app", false, true, false},
		{"without the startup probe", "global: {proxy: {startupProbe: {enabled: false}}}", plain, 37, "istio-init istio-proxy | app", false, false, false},
		{"without probes", "global: {proxy: {statusPort: 0}}", plain, 37, "istio-init istio-proxy | app", false, false, false},
		{"the default of Istio's chart", "global: {proxy: {startupProbe: {failureThreshold: 600}}}", plain, 37, "istio-proxy istio-init | app", true, false, false},
		{"another threshold", "global: {proxy: {startupProbe: {failureThreshold: 30}}}", plain, 37, "istio-proxy istio-init | app", true, false, true},
		{"another threshold, classic", "global: {proxy: {startupProbe: {failureThreshold: 30}}}", plain, 28, "istio-init | app istio-proxy", false, true, false},
	} {
		cfg := mustConfig(t, config.Texts{Values: c.values})
		i, problems := Compile(cfg, Environment{Kubernetes: Version{1, c.minor}})
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		got := string(mustInject(t, i, Request{Pod: []byte(c.pod)}).PodJSON())
		if order := orderOf(t, []byte(got)); order != c.order {
			t.Errorf("%s: %s, want %s", c.name, order, c.order)
		}
		if waits, probe := strings.Contains(got, `"--wait-for-proxy"`), strings.Contains(got, `"startupProbe"`); waits != c.waits || probe != c.probe {
			t.Errorf("%s: waits %v, want %v; probe %v, want %v", c.name, waits, c.waits, probe, c.probe)
		}
		const warning = "global.proxy.startupProbe.failureThreshold: no effect: native sidecars with a redirect have no startup probe: istio-init waits for them, without a limit; remove it"
		if text := strings.Join(problems.Warnings().Strings(), "\n"); strings.Contains(text, warning) != c.warn || !c.warn && text != "" {
			t.Errorf("%s: warnings %q", c.name, text)
		}
	}
}

// A template whose istio-init would wait for a sidecar that starts after it.
func TestWaitForClassicSidecar(t *testing.T) {
	const template = `templates: {sidecar: '{"spec": {"initContainers": [{"name": "istio-init", "image": "i", "args": ["--wait-for-proxy"]}], "containers": [{"name": "istio-proxy", "image": "p"}]}}'}`
	i := mustCompile(t, config.Texts{Config: template}, Environment{})
	_, err := i.Inject(Request{Pod: []byte(`{"spec":{"containers":[{"name":"app","image":"i"}]}}`)})
	const want = `"--wait-for-proxy": the sidecar is not a native one: it starts after istio-init, which would wait for it without an end; remove the argument`
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}
