package config

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// messageCase is one text and the problems that Parse finds in it: "error ..." or "warning
// ..." and a part of the message; the order counts and nothing may be left over.
type messageCase struct {
	name string
	in   Texts
	want []string
}

func checkMessages(t *testing.T, cases []messageCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg, ps := Parse(c.in, Labels{})
			if (cfg == nil) != ps.HasErrors() {
				t.Errorf("a Config: %v, errors: %v", cfg != nil, ps.Errors())
			}
			if len(ps) != len(c.want) {
				t.Fatalf("%d problems, want %d:\n%s", len(ps), len(c.want), lines(ps))
			}
			for i, p := range ps {
				severity, text, _ := strings.Cut(c.want[i], " ")
				if p.Severity.String() != severity || !strings.Contains(p.String(), text) {
					t.Errorf("problem %d: got %s: %s\nwant %s", i+1, p.Severity, p, c.want[i])
				}
			}
		})
	}
}

func lines(ps problem.List) string {
	var b strings.Builder
	for _, p := range ps {
		b.WriteString(p.Severity.String() + ": " + p.String() + "\n")
	}
	return b.String()
}

func TestValuesMessages(t *testing.T) {
	proxy := func(s string) Texts { return Texts{Values: "global:\n  proxy:\n    " + s + "\n"} }
	checkMessages(t, []messageCase{
		{"nothing", Texts{}, nil},
		{"comments only", Texts{Values: "# nothing\n---\n", Mesh: "\n", Config: "~"}, nil},
		{"misspelt key", proxy("excludeIPRange: 10.0.0.0/8"),
			[]string{`warning istio-sidecar-injector key "values":3:5: global.proxy.excludeIPRange: unknown key; did you mean "excludeIPRanges"?`}},
		{"misspelt parent", Texts{Values: "globl: {}"}, []string{`warning :1:1: globl: unknown key; did you mean "global"?`}},
		{"a custom key", Texts{Values: "global: {acme: {x: 1}}"}, []string{`warning global.acme: unknown key`}},
		{"bad ranges", proxy(`includeIPRanges: "10.0.0.0/33, *, 1.2.3.4"`), []string{
			`error :3:22: global.proxy.includeIPRanges: "10.0.0.0/33": `,
			`error global.proxy.includeIPRanges: "*": cannot be combined with ranges`}},
		{"a list of ranges", proxy(`includeIPRanges: [10.0.0.0/8, "fd00::/8"]`), nil},
		{"a bad element of a list", proxy("excludeIPRanges:\n    - 10.0.0.0/8\n    - '*'"), []string{`error :5:7: global.proxy.excludeIPRanges[1]: "*": wildcard is not allowed here`}},
		{"helm's escape", proxy(`includeIPRanges: 10.0.0.0/8\,172.16.0.0/12`), []string{`error \,`}},
		{"include and exclude", proxy(`{includeIPRanges: "10.0.0.0/8,fd00::/8", excludeIPRanges: 10.1.0.0/16}`), nil},
		{"a number as ports", proxy(`excludeOutboundPorts: 8080`), nil},
		{"bad ports", proxy(`includeOutboundPorts: "80-90"`), []string{`error global.proxy.includeOutboundPorts: "80-90": `}},
		{"types", proxy("{logLevel: [a], privileged: maybe, readinessPeriodSeconds: x, image: true, startupProbe: 3}"), []string{
			`error :3:16: global.proxy.logLevel: a list: must be a string`,
			`error global.proxy.privileged: "maybe": must be true or false`,
			`error global.proxy.readinessPeriodSeconds: "x": must be in the range 1..`,
			`error global.proxy.image: true: must be a string; put it in quotes`,
			`error global.proxy.startupProbe: 3: must be a mapping; set enabled, failureThreshold below it`}},
		{"invalid values", proxy(`{logLevel: loud, autoInject: sometimes, clusterDomain: "a b", image: "a b", componentLogLevel: debug}`), []string{
			`error "loud": not an Envoy log level`, `error "sometimes": must be one of "enabled", "disabled"`,
			`error "a b": invalid domain name`, `error invalid character ' ' in an image reference`, `error not a component:level pair`}},
		{"resources", proxy(`resources: {requests: {cpu: much, memory: -1}, limit: {}}`), []string{
			`error :3:33: global.proxy.resources.requests.cpu: "much": invalid quantity`,
			`warning global.proxy.resources.limit: unknown key; did you mean "limits"?`}},
		{"negative resources", proxy(`resources: {requests: {memory: "-1"}}`), []string{`error must not be negative`}},
		{"request over default limit", proxy(`resources: {requests: {cpu: 4}}`), []string{`error :3:33: global.proxy.resources.requests.cpu: 4: the request 4 exceeds the limit 2`}},
		{"limit below default request", proxy(`resources: {limits: {cpu: 5m}}`), []string{`error :3:31: global.proxy.resources.requests.cpu: "5m": the request 10m exceeds the limit 5m`}},
		{"lifecycle", proxy(`lifecycle: {preStop: {exec: {command: sleep}}}`), []string{`error global.proxy.lifecycle.preStop.exec.command: "sleep": must be a list`}},
		{"seccomp", proxy(`seccompProfile: {type: Locahost}`), []string{`error type must be RuntimeDefault, Localhost or Unconfined`}},
		{"duplicate key", Texts{Values: "global: {}\nrevision: a\nglobal: {}"}, []string{`error :3:1: global: duplicate key, first on line 1; remove one of the two`}},
		{"syntax", Texts{Values: "global: [1\nb: 2\n"}, []string{`error :2:2: not valid YAML or JSON: did not find expected ',' or ']'`}},
		{"tabs", Texts{Values: "global:\n\tproxy: {}\n"}, []string{`error indent with spaces, not tabs`}},
		{"two documents", Texts{Values: "a: 1\n---\nb: 2\n"}, []string{`error more than one document; remove all but one`}},
		{"not a mapping", Texts{Values: "[1]"}, []string{`error a list: must be a mapping`}},
		{"not UTF-8", Texts{Values: "a: 1\nb: \xff"}, []string{`error :2:4: not valid UTF-8`}},
		{"too large", Texts{Values: strings.Repeat("#", 1<<20+1)}, []string{`error 1048577 bytes exceed the maximum length of 1048576`}},
		{"too many templates", Texts{Config: "templates: {" + manyTemplates(101) + "}"}, []string{`error :1:12: templates: a mapping: 101 templates exceed the limit of 100; remove those that no pod requests`}},
		{"all templates", Texts{Config: "templates: {" + manyTemplates(100) + "}"}, nil},
		{"too deep", Texts{Values: strings.Repeat("[", 20000)}, []string{`error exceeded max depth of 100`}},
		{"exploding aliases", Texts{Values: bomb()}, []string{
			`warning global.a: unknown key`, `warning global.b: unknown key`, `warning global.c: unknown key`, `warning global.d: unknown key`,
			`warning :6:3: global.e: unknown key`, `error :6:31: global.e[7][0][7][0][6]: more than 100000 values, 8388608 bytes or 100 levels once aliases are expanded`}},
		{"an alias of itself", Texts{Values: "a: &a [*a]"}, []string{`warning unknown key`, `error alias refers to itself`}},
		{"pilot", Texts{Values: "pilot: {env: {ENABLE_NATIVE_SIDECARS: perhaps, OTHER: x}, cni: {enabled: true}}"}, []string{
			`error pilot.env.ENABLE_NATIVE_SIDECARS: "perhaps": must be one of "true", "false", "auto"`,
			`warning pilot.cni.enabled: true: no effect: redirection is set up by the init container`}},
		{"no effect", proxy("{includeInboundPorts: '80', tracer: datadog, statusPort: 1}"), []string{
			"warning no effect: inbound traffic is never captured", "warning no effect: the proxy sends no traces", "warning no effect: there is no agent"}},
		{"Istio's image", proxy("image: docker.io/istio/proxyv2:1.31.4"), []string{"warning not an Envoy image"}},
		{"hub", Texts{Values: "global: {hub: '', tag: 'a/b', imagePullPolicy: Maybe, imagePullSecrets: [{name: x}]}"}, []string{
			`error global.hub: "": required, because global.proxy_init.image is the short name "outrider-init"`,
			`error global.tag: "a/b": invalid image tag`, `error must be one of "Always", "IfNotPresent", "Never"`, `error global.imagePullSecrets[0]: a mapping: must be a string; use the name of the Secret`}},
	})
}

func manyTemplates(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "t%d: x, ", i)
	}
	return b.String()
}

// bomb is a text whose aliases expand to ten million values.
func bomb() string {
	var b strings.Builder
	b.WriteString("global:\n  a: &a [x,x,x,x,x,x,x,x,x,x]\n")
	for c := 'b'; c < 'h'; c++ {
		b.WriteString("  " + string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 10), ",") + "]\n")
	}
	return b.String()
}

func TestInjectionMessages(t *testing.T) {
	checkMessages(t, []messageCase{
		{"unknown key", Texts{Config: "policy: enabled\nneverInjectSelectors: []"}, []string{
			`warning istio-sidecar-injector key "config":2:1: neverInjectSelectors: unknown key; did you mean "neverInjectSelector"?`}},
		{"policy", Texts{Config: "policy: on"}, []string{`error :1:9: policy: "on": must be one of "enabled", "disabled"`}},
		{"selectors", Texts{Config: "neverInjectSelector:\n- matchLabels: {app: x}\n- matchExpressions: [{key: a, operator: Inside}]\n- matchLabel: {a: b}\n- {}\n"}, []string{
			`error :3:3: neverInjectSelector[1]: a mapping: invalid label selector: "Inside" is not a valid label selector operator; use matchLabels: {key: value}, or matchExpressions with the operator In, NotIn, Exists or DoesNotExist`,
			`warning :4:3: neverInjectSelector[2].matchLabel: unknown key; did you mean "matchLabels"?`, `warning :4:3: neverInjectSelector[2]: a mapping: empty selector matches no pod`,
			`warning neverInjectSelector[3]: a mapping: empty selector matches no pod`}},
		{"not a list", Texts{Config: "alwaysInjectSelector: {matchLabels: {a: b}}"}, []string{`error must be a list of label selectors`}},
		{"annotations", Texts{Config: "injectedAnnotations: {a/b: 'true', c: true, 'd e': x}"}, []string{
			`error injectedAnnotations.c: true: must be a string; put it in quotes`, `error "d e": invalid annotation key`}},
		{"templates", Texts{Config: "templates: {mine: 'x', other: 3}\ndefaultTemplates: [sidecar, mime]\naliases: {both: [sidecar, mine], loop: [both]}"}, []string{
			`error templates.other: 3: must be a string`, `error :2:29: defaultTemplates[1]: "mime": unknown template or alias; did you mean "mine"?`,
			`error aliases.loop[0]: "both": unknown template; aliases may only list templates`}},
		{"no default templates", Texts{Config: "defaultTemplates: []"}, nil},
		{"old key", Texts{Config: "template: 'x'"}, []string{`error template: top-level "template" is no longer supported; move it to templates, with the name "sidecar"`}},
		{"Istio's version mismatch", Texts{Config: "template: '{{ Template_Version_And_Istio_Version_Mismatched_Check_Installation }}'"}, nil},
	})
}

func TestMeshMessages(t *testing.T) {
	checkMessages(t, []messageCase{
		{"unknown key", Texts{Mesh: "outboundTrafficPolcy: {mode: REGISTRY_ONLY}"}, []string{
			`error istio key "mesh":1:1: outboundTrafficPolcy: unknown key, so the outbound traffic policy in it would not apply; did you mean "outboundTrafficPolicy"?`}},
		{"bad enum", Texts{Mesh: "outboundTrafficPolicy:\n  mode: registry_only\n"}, []string{
			`error :2:9: outboundTrafficPolicy.mode: "registry_only": must be one of "REGISTRY_ONLY", "ALLOW_ANY"`}},
	})
	_, ps := Parse(Texts{Mesh: "connectTimeout: soon\naccessLogFile: 3\ndefaultConfig:\n  concurrency: -1\n  interceptionMode: TPROXY\n  extraStatTags: [a]\n  statusPort: 1\nenableTracing: true\n"}, Labels{Mesh: "mesh.yaml"})
	want := []string{"mesh.yaml:1:17: connectTimeout", "mesh.yaml:2:16: accessLogFile", "defaultConfig.concurrency: -1: must be in the range 0..1024",
		`defaultConfig.interceptionMode: "TPROXY": TPROXY is not supported`, ":6:3: defaultConfig.extraStatTags: no effect", ":7:3: defaultConfig.statusPort: no effect", ":8:1: enableTracing: true: no effect: the proxies send no traces"}
	if len(ps) != len(want) {
		t.Fatalf("%d problems, want %d:\n%s", len(ps), len(want), lines(ps))
	}
	for i := range want {
		if !strings.Contains(ps[i].String(), want[i]) {
			t.Errorf("got %s\nwant %s", ps[i], want[i])
		}
	}
}

// Texts in the shape of Istio's own installation pass.
func TestIstioInstallation(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	c, ps := Parse(Texts{Config: read("istio-config.yaml"), Values: read("istio-values.json"), Mesh: read("istio-mesh.yaml")}, Labels{})
	if c == nil || len(ps) != 1 || !strings.Contains(ps[0].String(), "enablePrometheusMerge") {
		t.Fatalf("problems:\n%s", lines(ps))
	}
	if c.Values.Global.Hub != "registry.example/istio" || c.Mesh.DefaultConfig.DiscoveryAddress != "istiod.istio-system.svc:15012" {
		t.Errorf("hub %q, discovery address %q", c.Values.Global.Hub, c.Mesh.DefaultConfig.DiscoveryAddress)
	}
	if len(c.Injection.Templates) != 2 || c.Injection.AlwaysInjectSelector != nil {
		t.Errorf("%+v", c.Injection)
	}
}

func TestDefaults(t *testing.T) {
	c := Default()
	g, p := c.Values.Global, c.Values.Global.Proxy
	for _, x := range []struct {
		what      string
		got, want any
	}{
		{"policy", c.Injection.Policy, "enabled"},
		{"templates", c.Injection.DefaultTemplates, []string{"sidecar"}},
		{"include", p.IncludeIPRanges.String(), "*"},
		{"exclude", p.ExcludeIPRanges.IsEmpty(), true},
		{"hub", g.Hub, "docker.io/outrider"},
		{"tag", g.Tag, DefaultTag},
		{"image", p.Image, "docker.io/envoyproxy/envoy:distroless-v" + DefaultEnvoy()},
		{"init image", g.ProxyInit.Image, "outrider-init"},
		{"cpu", p.Resources.Requests.Cpu().String(), "10m"},
		{"memory limit", p.Resources.Limits.Memory().String(), "1Gi"},
		{"init memory", g.ProxyInit.Resources.Requests.Memory().String(), "16Mi"},
		{"readiness", []int32{p.ReadinessInitialDelaySeconds, p.ReadinessPeriodSeconds, p.ReadinessFailureThreshold}, []int32{0, 15, 4}},
		{"startup", p.StartupProbe, StartupProbe{true, 600}},
		{"domain", p.ClusterDomain, "cluster.local"},
		{"lifecycle", p.Lifecycle == nil && p.SeccompProfile == nil, true},
		{"mode", c.Mesh.OutboundTrafficPolicy.Mode, meshconfig.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY},
		{"concurrency", c.Mesh.DefaultConfig.Concurrency == nil, true},
		{"drain", c.Mesh.DefaultConfig.TerminationDrainDuration.GetSeconds(), int64(5)},
		{"raw", c.RawValues["global"].(map[string]any)["proxy"].(map[string]any)["readinessPeriodSeconds"], int64(15)},
		{"nothing set", c.Values.Has("global.proxy.includeIPRanges"), false},
		{"hash", len(c.Hash), 16},
	} {
		if !reflect.DeepEqual(x.got, x.want) {
			t.Errorf("%s: %v, want %v", x.what, x.got, x.want)
		}
	}
}
