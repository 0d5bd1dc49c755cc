package explain_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/webhook/registration"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
)

// input is what answers depend on: the texts, the labels of namespace shop, and objects
// in the form of egresstest.
func input(t *testing.T, texts config.Texts, labels map[string]string, objects string) explain.Input {
	t.Helper()
	all := explain.Texts{Texts: texts, Labels: config.Labels{Config: "CONFIG", Values: "VALUES", Mesh: "MESH"}}
	cfg, problems := config.Parse(all.Texts, all.Labels)
	kit.Must(t, problems.Err())
	injector, problems := inject.Compile(cfg, inject.Environment{})
	kit.Must(t, problems.Err())
	in := egresstest.Parse(t, "\n"+objects)
	in.Mesh = egress.CompileMesh(cfg.Mesh)
	model, problems := egress.Build(in)
	kit.Must(t, problems.Err())
	labels["kubernetes.io/metadata.name"] = "shop"
	return explain.Input{
		Injector: injector, Texts: all, Model: model,
		Namespace: explain.Namespace{Name: "shop", Labels: labels, Known: true},
		Registered: explain.Registered{
			Configurations: []admissionregistrationv1.MutatingWebhookConfiguration{*registration.Options{Namespace: "istio-system", Service: "outrider"}.Mutating()},
			Service:        "istio-system/outrider", Name: "outrider-sidecar-injector",
		},
		InCluster: []explain.InCluster{{Name: "Service shop/web", Addresses: []netip.Addr{netip.MustParseAddr("10.96.0.1")}}},
	}
}

func subject(t *testing.T, text string) explain.Subject {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	kit.Must(t, err)
	s, ok, err := explain.NewSubject(data)
	if err != nil || !ok {
		t.Fatalf("%v: %s", err, text)
	}
	return s
}

func deployment(metadata string) string {
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec: {template: {metadata: {" + metadata + "}, spec: {containers: [{name: app, image: app}]}}}\n"
}

func enabled() map[string]string { return map[string]string{"istio-injection": "enabled"} }

// TestWebhook: the selectors as they are registered, and what to change.
func TestWebhook(t *testing.T) {
	for name, c := range map[string]struct {
		namespace     map[string]string
		metadata      string
		result        string
		text, fix, by string // parts
	}{
		"label of the namespace": {enabled(), "", explain.Selected, "the namespace has the label istio-injection=enabled", "", "webhook namespace.sidecar-injector.istio.io"},
		"revision":               {map[string]string{"istio.io/rev": "default"}, "", explain.Selected, "the namespace has the label istio.io/rev=default", "", "webhook rev.namespace."},
		"label of the pod":       {map[string]string{}, `labels: {sidecar.istio.io/inject: "true"}`, explain.Selected, "the pod has the label sidecar.istio.io/inject=true", "", "webhook object."},
		"no label": {map[string]string{}, "", explain.NotSelected, "namespace shop has no label istio.io/rev",
			`kubectl label namespace shop istio.io/rev=default; or set istio.io/rev: "default" in spec.template.metadata.labels; or kubectl label namespace shop istio-injection=enabled; or set sidecar.istio.io/inject: "true" in spec.template.metadata.labels`, ""},
		"disabled": {map[string]string{"istio-injection": "disabled"}, `labels: {sidecar.istio.io/inject: "true"}`, explain.NotSelected,
			"namespace shop has the label istio-injection=disabled", "kubectl label namespace shop istio-injection=enabled --overwrite", ""},
		"opted out":        {enabled(), `labels: {sidecar.istio.io/inject: "false"}`, explain.NotSelected, "the pod has the label sidecar.istio.io/inject=false", "remove sidecar.istio.io/inject from spec.template.metadata.labels", "webhook namespace."},
		"another revision": {map[string]string{"istio.io/rev": "canary"}, "", explain.NotSelected, "namespace shop has the label istio.io/rev=canary", "kubectl label namespace shop istio.io/rev=default --overwrite", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := explain.Explain(subject(t, deployment(c.metadata)), input(t, config.Texts{}, c.namespace, ""))
			w := a.Webhook
			if w.Result != c.result || !strings.Contains(w.Rule.Text, c.text) || !strings.Contains(w.Rule.Fix, c.fix) || !strings.Contains(w.Rule.Source, c.by) {
				t.Errorf("%+v", w)
			}
			if selected := a.Result == explain.Injected; selected != (c.result == explain.Selected) {
				t.Errorf("the result is %s", a.Result)
			}
		})
	}
	in := input(t, config.Texts{}, enabled(), "")
	in.Registered.Unread = "forbidden"
	if w := explain.Explain(subject(t, deployment("")), in).Webhook; w.Result != explain.Unknown || w.Rule.Text != "forbidden" {
		t.Errorf("not read: %+v", w)
	}
	in = input(t, config.Texts{}, enabled(), "")
	in.Registered.Service = "other/outrider"
	if a := explain.Explain(subject(t, deployment("")), in); a.Webhook.Rule.ID != "not_registered" || len(a.Webhook.Others) != 1 || a.Result != explain.NotSelected {
		t.Errorf("of another injector: %+v", a.Webhook)
	}
}

// TestDecision: the rule with its place, and what reverses it.
func TestDecision(t *testing.T) {
	never := config.Texts{Config: "policy: enabled\nneverInjectSelector:\n- matchLabels: {a: b}\n- matchLabels: {c: d}\n"}
	for name, c := range map[string]struct {
		texts     config.Texts
		object    string
		id, place string
		fix       string // a part
	}{
		"policy, default": {config.Texts{}, deployment(""), "policy_enabled", "default policy 0", `"false" in spec.template.metadata.labels`},
		"policy":          {config.Texts{Config: "policy: disabled\n"}, deployment(""), "policy_disabled", "CONFIG policy 1", `set the label sidecar.istio.io/inject: "true" in spec.template.metadata.labels`},
		"autoInject":      {config.Texts{Values: "global:\n  proxy:\n    autoInject: disabled\n"}, deployment(""), "policy_disabled", "VALUES global.proxy.autoInject 3", ""},
		"selector":        {never, deployment("labels: {c: d}"), "never_selector", "CONFIG neverInjectSelector[1] 4", ""},
		"annotation":      {config.Texts{}, deployment(`annotations: {sidecar.istio.io/inject: "false"}`), "annotation_false", "annotation sidecar.istio.io/inject spec.template.metadata.annotations 0", "remove the annotation"},
		"host network":    {config.Texts{}, "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\nspec: {hostNetwork: true, containers: [{name: app, image: app}]}\n", "host_network", "pod spec.hostNetwork 0", "remove spec.hostNetwork"},
		"denied":          {config.Texts{}, deployment("annotations: {traffic.sidecar.istio.io/excludeOutboundIPRanges: 10.0.0.0/33}"), "invalid_annotation", "pod annotation traffic.sidecar.istio.io/excludeOutboundIPRanges 0", "use a prefix length"},
	} {
		t.Run(name, func(t *testing.T) {
			a := explain.Explain(subject(t, c.object), input(t, c.texts, enabled(), ""))
			r := a.Decision.Rule
			data, err := json.Marshal(r.Line)
			kit.Must(t, err)
			if got := r.Source + " " + r.Path + " " + string(data); r.ID != c.id || got != c.place || !strings.Contains(r.Fix, c.fix) {
				t.Errorf("%+v, at %q", r, got)
			}
		})
	}
}

const traffic = `
---
kind: ServiceEntry
metadata: {namespace: shop, name: bin}
spec: {hosts: [bin.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}

---
kind: VirtualService
metadata: {namespace: shop, name: slow}
spec: {hosts: [bin.example], http: [{timeout: 3s, route: [{destination: {host: bin.example}}]}]}

---
inCluster: [{address: 10.96.0.1, ports: [443]}]
`

// TestTraffic: the outcome, with the rule of the redirect or of the sidecar.
func TestTraffic(t *testing.T) {
	texts := config.Texts{
		Values: "global:\n  proxy:\n    excludeIPRanges: 10.1.0.0/16\n",
		Mesh:   "accessLogFile: /dev/stdout\noutboundTrafficPolicy:\n  mode: REGISTRY_ONLY\n",
	}
	in := input(t, texts, enabled(), traffic)
	pod := deployment("annotations: {traffic.sidecar.istio.io/excludeOutboundPorts: '9000'}")
	for name, c := range map[string]struct {
		object, to, protocol string
		outcomes             []string
		rule                 string // id, source, path and line of the last rule of the first
		fix                  string
	}{
		"both ways, both families": {pod, "www.example.org", "", []string{"blocked", "blocked", "blocked", "blocked"}, "outbound-traffic-policy MESH outboundTrafficPolicy.mode 3",
			"declare it: a ServiceEntry with hosts: [www.example.org], ports: [{number: 80, name: http, protocol: HTTP}] and resolution: DNS"},
		"declared":        {pod, "bin.example:80", "http", []string{"forwarded", "forwarded"}, "virtual-service VirtualService shop/slow spec.http[0] 0", ""},
		"excluded range":  {pod, "10.1.2.3", "http", []string{"bypassed"}, "excluded-range VALUES global.proxy.excludeIPRanges 3", "remove the range"},
		"excluded port":   {pod, "203.0.113.7:9000", "tcp", []string{"bypassed"}, "excluded-port annotation traffic.sidecar.istio.io/excludeOutboundPorts spec.template.metadata.annotations 0", "remove the port"},
		"in the cluster":  {pod, "10.96.0.1:443", "tls", []string{"forwarded"}, "in-cluster Service shop/web  0", ""},
		"the sidecar's":   {pod, "203.0.113.7:15001", "tcp", []string{"blocked"}, "sidecar-port built-in  0", ""},
		"loopback":        {pod, "127.0.0.1:80", "http", []string{"bypassed"}, "loopback-interface built-in  0", ""},
		"no redirect":     {deployment("annotations: {sidecar.istio.io/interceptionMode: NONE}"), "[2001:db8::7]:80", "http", []string{"notCaptured"}, "", ""},
		"not injected":    {deployment(`annotations: {sidecar.istio.io/inject: "false"}`), "203.0.113.7:80", "http", []string{"notCaptured"}, "no-sidecar pod  0", ""},
		"running, naked":  {"apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\nspec: {nodeName: n, containers: [{name: app, image: app}]}\n", "203.0.113.7:80", "http", []string{"notCaptured"}, "no-sidecar pod  0", ""},
		"address, no SNI": {pod, "203.0.113.7", "tls", []string{"blocked"}, "outbound-traffic-policy MESH outboundTrafficPolicy.mode 3", "declare it: a ServiceEntry with addresses: [203.0.113.7]"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := explain.ParseDestination(c.to, c.protocol)
			kit.Must(t, err)
			paths := explain.Explain(subject(t, c.object), in, d).Destinations[0].Paths
			var outcomes []string
			for _, p := range paths {
				outcomes = append(outcomes, p.Outcome)
			}
			if !slices.Equal(outcomes, c.outcomes) {
				t.Fatalf("outcomes %q of %+v", outcomes, paths)
			}
			r := paths[0].Redirect
			if paths[0].Sidecar != nil {
				r = paths[0].Sidecar.Rule
			}
			line, err := json.Marshal(r.Line)
			kit.Must(t, err)
			if got := strings.Join([]string{r.ID, r.Source, r.Path, string(line)}, " "); c.rule != "" && got != c.rule || !strings.Contains(r.Fix, c.fix) {
				t.Errorf("%q, %+v", got, r)
			}
		})
	}
}

// TestRunningPod: a running pod has the redirect that it was injected with, whatever a new
// one would get.
func TestRunningPod(t *testing.T) {
	before := input(t, config.Texts{Values: "global: {proxy: {excludeIPRanges: 10.1.0.0/16}}\n"}, enabled(), "")
	pod := []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"shop"},"spec":{"containers":[{"name":"app","image":"app"}]},"status":{"phase":"Running","podIPs":[{"ip":"10.99.0.2"}]}}`)
	result, err := before.Injector.Inject(inject.Request{Pod: pod, Namespace: "shop"})
	kit.Must(t, err)
	s, _, err := explain.NewSubject(result.Tree().AppendTo(nil))
	kit.Must(t, err)
	to := []explain.Destination{{To: "a", Addresses: []netip.Addr{netip.MustParseAddr("10.1.2.3")}, Protocol: "http"}, {To: "b", Addresses: []netip.Addr{netip.MustParseAddr("10.99.0.2")}, Protocol: "http"}}
	a := explain.Explain(s, input(t, config.Texts{}, enabled(), ""), to...)
	if a.Running == nil || !a.Running.Injected || a.Running.Current || a.Running.ConfigHash != before.Injector.Hash() {
		t.Errorf("running: %+v", a.Running)
	}
	i := slices.IndexFunc(a.Settings, func(s explain.Setting) bool { return s.Name == "excludeOutboundIPRanges" })
	if s := a.Settings[i]; s.Value != "" || s.Running == nil || *s.Running != "10.1.0.0/16" {
		t.Errorf("setting: %+v", s)
	}
	if c := a.Destinations[0].Paths[0]; c.Outcome != explain.Bypassed || c.Redirect.ID != "excluded-range" {
		t.Errorf("an excluded range: %+v", c)
	}
	if c := a.Destinations[1].Paths[0]; c.Redirect.ID != "loopback-interface" {
		t.Errorf("the pod's own address: %+v", c)
	}
	if a = explain.Explain(s, before); !a.Running.Current {
		t.Errorf("with its own configuration: %+v", a.Running)
	}
	for _, want := range []string{"Pod shop/a: injected\n", "1. Webhook: selected\n", "2. Decision: injected (policy_enabled)\n", "with the active configuration"} {
		if !strings.Contains(a.Text(), want) {
			t.Errorf("%q is not in:\n%s", want, a.Text())
		}
	}
}

func TestParseDestination(t *testing.T) {
	for _, c := range []struct{ to, protocol, problem string }{
		{"www.example.com", "", ""}, {"[2001:db8::1]:443", "tls", ""}, {"2001:db8::1", "", ""}, {"web", "http", ""}, {"WWW.example.com.:8080", "", ""},
		{"https://www.example.com", "", `--to: "https://www.example.com": not a host or an address; use HOST[:PORT] or ADDRESS[:PORT], without a scheme and a path`},
		{"a.example:0", "", `--to: "0": port number must be in the range 1..65535`},
		{"a.example", "tcp", `--to: "a.example": a TCP destination requires a port; add :PORT`},
		{"a..example", "", `--to: "a..example": not a host name or an address; use a name such as www.example.com, or an IP address`},
		{"a.example", "udp", `--protocol: "udp": must be one of "http", "tls", "tcp"`},
	} {
		_, err := explain.ParseDestination(c.to, c.protocol)
		if got := ""; err != nil {
			if got = err.Error(); got != c.problem {
				t.Errorf("%s: %s", c.to, got)
			}
		} else if c.problem != "" {
			t.Errorf("%s: no problem", c.to)
		}
	}
}
