package config

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func mustParse(t *testing.T, in Texts) *Config {
	t.Helper()
	c, ps := Parse(in, Labels{})
	if c == nil {
		t.Fatal(ps.Err())
	}
	return c
}

func raw(t *testing.T, c *Config, path string) any {
	t.Helper()
	var v any = c.RawValues
	for _, name := range strings.Split(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

func TestValuesOverDefaults(t *testing.T) {
	c := mustParse(t, Texts{Values: `
revision: canary
global:
  tag: 1.30
  proxy:
    includeIPRanges: [10.0.0.0/8, 172.16.0.1/12, "fd00::/8"]
    excludeOutboundPorts: 22
    resources: {limits: {cpu: 1}}
    lifecycle: {preStop: {sleep: {seconds: 5}}}
    seccompProfile: {type: RuntimeDefault}
    excludeInterfaces: "eth1, net1"
  proxy_init:
    resources: null
pilot: {env: {ENABLE_NATIVE_SIDECARS: true}}
acme: {answer: 42, half: 0.5}
`})
	p := c.Values.Global.Proxy
	if c.Values.Revision != "canary" || c.Values.Global.Tag != "1.30" || c.Values.NativeSidecars != "true" {
		t.Errorf("%+v", c.Values)
	}
	if got := p.IncludeIPRanges.String(); got != "10.0.0.0/8,172.16.0.0/12,fd00::/8" {
		t.Errorf("include %s", got)
	}
	if p.Resources.Limits.Cpu().String() != "1" || p.Resources.Requests.Memory().String() != "80Mi" {
		t.Errorf("resources are merged field by field: %v", p.Resources)
	}
	if p.Lifecycle.PreStop.Sleep.Seconds != 5 || p.SeccompProfile.Type != "RuntimeDefault" || len(p.ExcludeInterfaces) != 2 {
		t.Errorf("%+v", p)
	}
	if c.Values.Global.ProxyInit.Resources != nil {
		t.Errorf("null takes the default away: %v", c.Values.Global.ProxyInit.Resources)
	}
	for path, want := range map[string]any{
		"global.tag": "1.30", "global.proxy.includeIPRanges": "10.0.0.0/8,172.16.0.0/12,fd00::/8", "global.proxy.excludeOutboundPorts": "22",
		"acme.answer": int64(42), "acme.half": 0.5, "global.proxy.logLevel": "warning", "global.proxy_init.resources": nil,
	} {
		if got := raw(t, c, path); got != want {
			t.Errorf("raw %s: %#v, want %#v", path, got, want)
		}
	}
	for path, want := range map[string]bool{
		"global": true, "global.proxy.includeIPRanges": true, "global.proxy.excludeIPRanges": false, "global.proxy.resources.limits.cpu": true,
		"global.proxy.resources.requests.cpu": false, "global.proxy_init.resources": false, "pilot.env.ENABLE_NATIVE_SIDECARS": true,
	} {
		if got := c.Values.Has(path); got != want {
			t.Errorf("Has(%s) = %v", path, got)
		}
	}
}

// A configuration handed out earlier is not touched by a later one.
func TestDefaultsAreNotShared(t *testing.T) {
	before := Default().Hash
	c := Default()
	c.RawValues["global"].(map[string]any)["tag"] = "changed"
	c.Values.Global.Proxy.Resources.Requests["cpu"] = *c.Values.Global.Proxy.Resources.Limits.Cpu()
	if Default().Hash != before || Default().Values.Global.Proxy.Resources.Requests.Cpu().String() != "10m" {
		t.Error("the defaults changed")
	}
}

func TestEmptyRangesMeanNone(t *testing.T) {
	c := mustParse(t, Texts{Values: `global: {proxy: {includeIPRanges: ""}}`})
	if !c.Values.Global.Proxy.IncludeIPRanges.IsEmpty() || !c.Values.Has("global.proxy.includeIPRanges") {
		t.Error("empty is not none")
	}
	c = mustParse(t, Texts{Values: `global: {proxy: {includeIPRanges: null}}`})
	if !c.Values.Global.Proxy.IncludeIPRanges.IsWildcard() || c.Values.Has("global.proxy.includeIPRanges") {
		t.Error("null is not absent")
	}
}

func TestOutboundPolicy(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "ALLOW_ANY",
		"outboundTrafficPolicy: {}":           "ALLOW_ANY",
		"outboundTrafficPolicy: {mode: null}": "ALLOW_ANY",
		"outboundTrafficPolicy: {mode: ALLOW_ANY}":       "ALLOW_ANY",
		"outboundTrafficPolicy: {mode: REGISTRY_ONLY}":   "REGISTRY_ONLY",
		"outbound_traffic_policy: {mode: REGISTRY_ONLY}": "REGISTRY_ONLY",
	} {
		if got := mustParse(t, Texts{Mesh: text}).Mesh.OutboundTrafficPolicy.Mode.String(); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestPolicy(t *testing.T) {
	for _, c := range []struct{ config, values, want string }{
		{"", "", "enabled"},
		{"policy: disabled", "", "disabled"},
		{"", "global: {proxy: {autoInject: disabled}}", "disabled"},
		{"policy: enabled", "global: {proxy: {autoInject: disabled}}", "enabled"},
	} {
		if got := mustParse(t, Texts{Config: c.config, Values: c.values}).Injection.Policy; got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestSelector(t *testing.T) {
	s, err := NewSelector(metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}})
	if err != nil || !s.Matches(map[string]string{"app": "x", "b": "c"}) || s.Matches(nil) || s.String() != "app=x" {
		t.Errorf("%v, %v", s, err)
	}
	empty, err := NewSelector(metav1.LabelSelector{})
	if err != nil || empty.Matches(nil) || empty.Matches(map[string]string{"app": "x"}) {
		t.Error("an empty selector matches")
	}
}

// The hash follows the meaning, not the spelling.
func TestHash(t *testing.T) {
	same := [][2]Texts{
		{{Values: "global: {tag: a, hub: b/c}"}, {Values: "# x\nglobal:\n  hub:   b/c\n\n  tag: \"a\"\n"}},
		{{Values: `{"global": {"proxy": {"logLevel": "debug"}}}`}, {Values: "global:\n  proxy:\n    logLevel: debug"}},
		{{Mesh: "accessLogFile: /dev/stdout\nrootNamespace: x"}, {Mesh: "root_namespace: x\naccessLogFile: /dev/stdout"}},
		{{Config: "policy: enabled\ntemplates: {b: x, a: y}"}, {Config: "templates: {a: y, b: x}"}},
		{{Values: "global: {proxy: {includeIPRanges: '10.0.0.0/8, fd00::/8'}}"}, {Values: "global: {proxy: {includeIPRanges: 'fd00::/8,10.0.0.0/8,10.1.0.0/16'}}"}},
	}
	for i, pair := range same {
		if a, b := mustParse(t, pair[0]).Hash, mustParse(t, pair[1]).Hash; a != b {
			t.Errorf("pair %d: %s and %s", i, a, b)
		}
	}
	seen := map[string]int{}
	for i, in := range []Texts{
		{}, {Values: "global: {tag: a}"}, {Values: "global: {tag: b}"}, {Values: "x: 1"}, {Mesh: "accessLogFile: /dev/stdout"},
		{Config: "policy: disabled"}, {Config: "templates: {a: x}"}, {Config: "templates: {a: y}"}, {Config: "injectedAnnotations: {a: b}"},
		{Config: "neverInjectSelector: [{matchLabels: {a: b}}]"}, {Config: "alwaysInjectSelector: [{matchLabels: {a: b}}]"}, {Config: "aliases: {a: [sidecar]}"},
		{Mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"},
	} {
		h := mustParse(t, in).Hash
		if j, dup := seen[h]; dup {
			t.Errorf("texts %d and %d have one hash", i, j)
		}
		seen[h] = i
	}
}

// seeds are the fuzzer's first inputs.
var seeds = []Texts{
	{"policy: disabled\nneverInjectSelector: [{matchLabels: {a: b}}]\ntemplates: {x: y}\naliases: {a: [x]}",
		"global: {proxy: {includeIPRanges: 10.0.0.0/8, resources: {limits: {cpu: 4}}}}", "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"},
	{"injectedAnnotations: {a: b}\ndefaultTemplates: [sidecar]",
		"a: &a {b: 1}\nc: {<<: *a}\nglobal: {tag: 1.30, proxy: {lifecycle: {preStop: {sleep: {seconds: 1}}}}}",
		"defaultConfig: {concurrency: 1, proxyMetadata: {a: b}}\nextensionProviders: [{name: x, zipkin: {service: y, port: 1}}]"},
	{"{\"policy\": \"enabled\"}", "{\n\t\"global\": {\"proxy\": null}}", "connectTimeout: 1s\nlocalityLbSetting: {}"},
	{"template: x", "revision: [a]", "discoverySelectors: [{matchLabels: {a: b}}]"},
	{strings.Repeat("[", 300), "\xff", "---\n---\n"},
}

// The first seeds get through to a Config, so that fuzzing starts at the core.
func TestSeedsReachTheCore(t *testing.T) {
	for i, in := range seeds {
		c, ps := Parse(in, Labels{})
		if (c != nil) != (i < 3) {
			t.Errorf("seed %d: a Config: %v\n%s", i, c != nil, lines(ps))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, in := range seeds {
		f.Add(in.Config, in.Values, in.Mesh)
	}
	f.Fuzz(func(t *testing.T, config, values, mesh string) {
		in := Texts{Config: config, Values: values, Mesh: mesh}
		c, ps := Parse(in, Labels{})
		if (c == nil) != (ps.HasErrors()) {
			t.Fatalf("a Config: %v, with %d errors", c != nil, len(ps.Errors()))
		}
		for _, p := range ps {
			if p.Rule == "" || p.Source == "" || strings.ContainsAny(p.String(), "\n\r") {
				t.Errorf("bad message %q", p.String())
			}
		}
		if c == nil {
			return
		}
		if again, _ := Parse(in, Labels{}); again == nil || again.Hash != c.Hash {
			t.Error("not repeatable")
		}
	})
}

func BenchmarkParse(b *testing.B) {
	in := Texts{Values: defaultValues, Config: "policy: enabled", Mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}
	b.ReportAllocs()
	for b.Loop() {
		Parse(in, Labels{})
	}
}

// The init container waits beside a native sidecar, so that the scheduler counts both: a pod
// whose applications request less than the init container needs that much more. After a
// classic sidecar it takes the larger one.
func TestDefaultInitRequests(t *testing.T) {
	g := Default().Values.Global
	for name, quantity := range g.ProxyInit.Resources.Requests {
		if of := g.Proxy.Resources.Requests[name]; 2*quantity.MilliValue() > of.MilliValue() {
			t.Errorf("the init container requests %s %s, more than half of the sidecar's %s", quantity.String(), name, of.String())
		}
	}
}
