package xds

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/redirect"
	"github.com/outrider-mesh/outrider/redirect/kernel"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/objects"
)

// explained is a random pod with all that an explanation of it depends on.
type explained struct {
	t           *testing.T
	annotations map[string]string
	proxy       map[string]string // values.global.proxy
	mode        string            // of outboundTrafficPolicy; empty: not set
	objects     egress.Input
}

// The addresses that pods connect to: those of declared hosts and ranges, of the cluster,
// and others.
var explainedAddresses = []string{"203.0.113.1", "203.0.113.7", "198.51.100.7", "192.0.2.200", "10.96.0.77", "10.96.0.78", "10.1.2.3", "2001:db8::1", "2001:db8::9"}

func randomExplained(t *testing.T, r *rand.Rand) *explained {
	e := &explained{t: t, annotations: map[string]string{}, proxy: map[string]string{}, mode: objects.Pick(r, "REGISTRY_ONLY", "REGISTRY_ONLY", "ALLOW_ANY", "")}
	e.objects = randomInput(t, r, 14)
	entryOf(t, "shop", "answers", `{"hosts": ["answers.test"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "resolution": "DNS"}`)(&e.objects)
	routeOf(t, "shop", "answers", `{"hosts": ["answers.test"], "http": [{"match": [{"uri": {"prefix": "/api"}}], "directResponse": {"status": 403}}, {"redirect": {"uri": "/gone"}}]}`)(&e.objects)
	include := []string{"*", "*", "*", "203.0.113.0/24,2001:db8::/64,10.0.0.0/8", "198.51.100.0/24,192.0.2.0/24", ""}
	exclude := []string{"203.0.113.7/32", "10.96.0.0/16,2001:db8::9/128", "192.0.2.128/25", ""}
	for _, a := range []struct {
		name   string
		values []string
	}{{"includeOutboundIPRanges", include}, {"includeOutboundPorts", []string{"443", "9000", ""}}, {"excludeOutboundIPRanges", exclude}, {"excludeOutboundPorts", []string{"8080", "9000", ""}}} {
		if r.IntN(4) == 0 {
			e.annotations["traffic.sidecar.istio.io/"+a.name] = objects.Pick(r, a.values...)
		}
	}
	if r.IntN(3) == 0 {
		e.proxy["includeIPRanges"] = objects.Pick(r, include...)
	}
	if r.IntN(2) == 0 {
		e.proxy["excludeIPRanges"] = objects.Pick(r, exclude...)
	}
	if r.IntN(4) == 0 {
		e.proxy["excludeOutboundPorts"] = objects.Pick(r, "80", "8080")
	}
	return e
}

// with is a copy.
func (e *explained) with() *explained {
	out := *e
	out.annotations, out.proxy = maps.Clone(e.annotations), maps.Clone(e.proxy)
	return &out
}

func (e *explained) input() explain.Input {
	values, err := json.Marshal(map[string]any{"global": map[string]any{"proxy": e.proxy}})
	kit.Must(e.t, err)
	texts := explain.Texts{Texts: config.Texts{Values: string(values)}, Labels: config.Labels{Config: "config", Values: "values", Mesh: "mesh"}}
	texts.Mesh = "accessLogFile: /dev/stdout\n"
	if e.mode != "" {
		texts.Mesh += "outboundTrafficPolicy: {mode: " + e.mode + "}\n"
	}
	cfg, problems := config.Parse(texts.Texts, texts.Labels)
	kit.Must(e.t, problems.Err())
	injector, problems := inject.Compile(cfg, inject.Environment{})
	kit.Must(e.t, problems.Err())
	in := e.objects
	in.Mesh = egress.CompileMesh(cfg.Mesh)
	out := explain.Input{Injector: injector, Texts: texts, Namespace: explain.Namespace{Name: "shop"}}
	for i, a := range in.InCluster {
		out.InCluster = append(out.InCluster, explain.InCluster{Name: fmt.Sprint("Service shop/", i), Addresses: []netip.Addr{a.Address}})
	}
	out.Model, _ = egress.Build(in)
	return out
}

func (e *explained) subject() explain.Subject {
	pod, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "app", "namespace": "shop", "annotations": e.annotations},
		"spec": map[string]any{"containers": []any{map[string]any{"name": "app", "image": "app"}}},
	})
	kit.Must(e.t, err)
	s, ok, err := explain.NewSubject(pod)
	if err != nil || !ok {
		e.t.Fatalf("%v: %s", err, pod)
	}
	return s
}

func (e *explained) explain(d explain.Destination) explain.Connection {
	a := explain.Explain(e.subject(), e.input(), d)
	if len(a.Destinations) != 1 || len(a.Destinations[0].Paths) != 1 {
		e.t.Fatalf("%+v: %+v", d, a)
	}
	return a.Destinations[0].Paths[0]
}

// plan is the redirect of the pod, by the arguments of its init container.
func (e *explained) plan() redirect.Plan {
	s := e.subject()
	result, err := e.input().Injector.Inject(inject.Request{Pod: s.Pod, Namespace: "shop"})
	kit.Must(e.t, err)
	c, _, err := redirect.ParseArgs(result.Settings.InitArgs(), func(string) string { return "" })
	kit.Must(e.t, err)
	return redirect.NewPlan(c, redirect.Inet)
}

// without is the pod without a rule; false for a rule that nobody wrote.
func (e *explained) without(r explain.Rule, a netip.Addr) (*explained, bool) {
	out := e.with()
	kind, rest, _ := strings.Cut(r.Source, " ")
	namespace, name, _ := strings.Cut(rest, "/")
	is := func(m egress.Meta) bool { return m.Namespace == namespace && m.Name == name }
	switch {
	case kind == "annotation":
		delete(out.annotations, rest)
	case r.Source == "values":
		delete(out.proxy, strings.TrimPrefix(r.Path, "global.proxy."))
	case r.Source == "mesh":
		out.mode = ""
	case r.Source == "default" && r.ID == "outbound-traffic-policy":
		out.mode = "REGISTRY_ONLY"
	case r.Source == "default" && r.ID == string(redirect.ReasonEverything):
		out.proxy["includeIPRanges"] = ""
	case kind == egress.KindServiceEntry:
		out.objects.ServiceEntries = slices.DeleteFunc(slices.Clone(e.objects.ServiceEntries), func(s egress.ServiceEntry) bool { return is(s.Meta) })
	case kind == egress.KindVirtualService:
		out.objects.VirtualServices = slices.DeleteFunc(slices.Clone(e.objects.VirtualServices), func(v egress.VirtualService) bool { return is(v.Meta) })
	case r.ID == "in-cluster":
		out.objects.InCluster = slices.DeleteFunc(slices.Clone(e.objects.InCluster), func(d egress.InClusterAddress) bool { return d.Address == a })
	default:
		return nil, false
	}
	return out, true
}

// essence is the outcome with the rules that are named.
func essence(c explain.Connection) string {
	out := fmt.Sprint(c.Outcome, " ", c.Redirect.ID, c.Redirect.Source, c.Redirect.Path)
	if c.Sidecar != nil {
		out += fmt.Sprint(" ", c.Sidecar.Rule.ID, c.Sidecar.Rule.Source, c.Sidecar.Rule.Path, c.Sidecar.Others)
	}
	return out
}

func randomDestination(r *rand.Rand) explain.Destination {
	d := explain.Destination{Port: uint16(objects.Pick(r, append(objects.Ports(), 80, 80)...)), Protocol: objects.Pick(r, decide.HTTP, decide.HTTP, decide.TLS)}
	d.Addresses = []netip.Addr{netip.MustParseAddr(objects.Pick(r, explainedAddresses...))}
	d.Path = objects.Pick(r, objects.Paths()[:4]...)
	if r.IntN(8) > 0 {
		d.Host = objects.Pick(r, append(objects.Hosts(), "unknown.test")...)
	}
	if r.IntN(8) == 0 {
		d.Host, d.Port, d.Protocol = "answers.test", 80, decide.HTTP
	}
	return d
}

// counters are the connections that each rule of the redirect has decided, by its reason.
func (m *mesh) counters() map[string]int {
	out := map[string]int{}
	for _, found := range counted.FindAllStringSubmatch(m.Must(m.t, "", "nft", "list", "table", "inet", redirect.TableName), -1) {
		n, err := strconv.Atoi(found[1])
		kit.Must(m.t, err)
		out[found[2]] += n
	}
	return out
}

var counted = regexp.MustCompile(`counter packets (\d+) .*comment "([^"]+)"`)

// wantRule compares the rule that an explanation names with the one that the kernel applied.
func (m *mesh) wantRule(before, after map[string]int, c explain.Connection) {
	for _, reason := range []redirect.Reason{
		redirect.ReasonExcludedInterface, redirect.ReasonExcludedPort, redirect.ReasonExcludedRange,
		redirect.ReasonIncludedPort, redirect.ReasonEverything, redirect.ReasonIncludedRange,
	} {
		id := string(reason)
		if reason == redirect.ReasonExcludedPort && id != c.Redirect.ID {
			continue // the sidecar's own connections to the port are counted there, too
		}
		if by := after[id] - before[id]; by > 0 != (id == c.Redirect.ID) {
			m.t.Errorf("%+v: the kernel's rule %s has %d packets more", c, id, by)
		}
	}
}

// allowed are the prefixes of the results that an explanation allows.
func (m *mesh) allowed(c explain.Connection) (out []string) {
	at := func(address string, port any) string { return fmt.Sprintf("at=%s port=%v ", address, port) }
	switch c.Outcome {
	case explain.Blocked:
		if c.Sidecar.Status > 0 {
			return []string{fmt.Sprint(c.Sidecar.Status, " ")}
		}
		return []string{"closed"}
	case explain.Answered:
		return []string{fmt.Sprint(c.Sidecar.Status, " ")}
	case explain.Bypassed, explain.NotCaptured:
		return []string{at(c.Address, c.Port)}
	}
	failed := []string{"503", "403"}
	if c.Protocol != decide.HTTP || c.Sidecar.Route == "" {
		failed = []string{"closed"}
	}
	for _, cluster := range c.Sidecar.Clusters {
		switch {
		case cluster.Name == egress.BlackHoleCluster:
			out = append(out, failed...)
		case len(cluster.To) == 0:
			out = append(out, at(c.Address, c.Port))
		}
		for _, to := range cluster.To {
			host, port, _ := net.SplitHostPort(to)
			if address, known := m.names[host]; known {
				host = address
			}
			if a, err := netip.ParseAddr(host); err != nil || slices.Contains(badAddresses, a.String()) {
				out = append(out, failed...)
				continue
			}
			out = append(out, at(host, port))
		}
	}
	return out
}

// TestExplanationsMatchKernelAndSidecar explains random connections of random pods, and
// makes them: with the redirect of the pod in a kernel, and its objects in a real sidecar.
// Each rule that an explanation names decides: without it, another one is named.
func TestExplanationsMatchKernelAndSidecar(t *testing.T) {
	m := newMesh(t, randomNames())
	m.Must(t, "delete table inet sidecar_egress", "nft", "-f", "-")
	const pods, each = 20, 15
	outcomes, removed := map[string]int{}, 0
	for seed := range uint64(pods) {
		r := rand.New(rand.NewPCG(seed, 11))
		e := randomExplained(t, r)
		plan := e.plan()
		var err error
		m.Do(func() { err = kernel.Apply(plan) })
		kit.Must(t, err)
		m.server.Publish(e.input().Model)
		m.settled()
		for range each {
			d := randomDestination(r)
			c := e.explain(d)
			outcomes[c.Outcome]++
			q := decide.Request{Address: d.Addresses[0], Port: c.Port, Protocol: c.Protocol, Method: "GET", Authority: c.Name, Path: d.Path}
			if c.Protocol == decide.TLS {
				q.ServerName, q.Authority = c.Name, "inside.test"
			}
			before := m.counters()
			got := m.send(q)
			m.wantRule(before, m.counters(), c)
			if want := m.allowed(c); !slices.ContainsFunc(want, func(w string) bool { return strings.HasPrefix(got, w) }) {
				t.Errorf("pod %d: %+v\nreached %q, want %q\nby %+v", seed, q, got, want, c)
			}
			rules := []explain.Rule{c.Redirect}
			if c.Sidecar != nil {
				rules = append(rules, c.Sidecar.Rule)
			}
			for _, rule := range rules {
				without, ok := e.without(rule, d.Addresses[0])
				if !ok {
					t.Errorf("pod %d: %+v: rule %+v of nobody", seed, q, rule)
					continue
				}
				removed++
				if essence(without.explain(d)) == essence(c) {
					t.Errorf("pod %d: %+v: without rule %+v, the explanation is the same: %s", seed, q, rule, essence(c))
				}
			}
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d connections: %v; %d rules removed", pods*each, outcomes, removed)
	for _, o := range []string{explain.Forwarded, explain.Answered, explain.Blocked, explain.Bypassed} {
		if outcomes[o] < pods*each/100 {
			t.Errorf("too few are %s: %v", o, outcomes)
		}
	}
}
