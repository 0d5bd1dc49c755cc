package egress_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/test/egresstest"
)

// created is the time of an object that is younger than those of lower numbers.
func created(n int) string { return fmt.Sprintf("2026-01-01T%02d:%02d:%02dZ", n/3600, n/60%60, n%60) }

// portsEntry is an entry with TCP ports, which have addresses and so apply everywhere.
func portsEntry(namespace string, n, from, ports int) string {
	list := make([]string, ports)
	for i := range list {
		list[i] = fmt.Sprintf("{number: %d, name: p%d, protocol: TCP}", from+i, i)
	}
	return fmt.Sprintf("\n---\nkind: ServiceEntry\nmetadata: {namespace: %s, name: e%d, created: %q}\nspec: {hosts: [e%d.%s.test], addresses: [198.51.%d.0/24], ports: [%s], resolution: NONE}\n",
		namespace, n, created(n), n, namespace, n%200, strings.Join(list, ", "))
}

// TestObjectsOverBudget has objects over a limit: they are ignored whole, with a
// message that has the number, the limit and the fix; others stay.
func TestObjectsOverBudget(t *testing.T) {
	list := func(n int, of string) string {
		all := make([]string, n)
		for i := range all {
			all[i] = strings.ReplaceAll(of, "%", fmt.Sprint(i))
		}
		return strings.Join(all, ", ")
	}
	const ports = "ports: [{number: 80, name: h, protocol: HTTP}, {number: 443, name: t, protocol: TLS}]"
	routes := func(spec string) string {
		return "\n---\nkind: VirtualService\nmetadata: {namespace: tenant, name: v, created: \"2026-01-02T00:00:00Z\"}\nspec: {hosts: [a.tenant.test], " + spec + "}\n"
	}
	var many, large, twice strings.Builder
	for i := range 6 {
		many.WriteString(entryIn(fmt.Sprintf("tenant/m%d", i), fmt.Sprintf("hosts: [m%d.test], %s", i, ports)))
		twice.WriteString(portsEntry("tenant", 10+i, 20000+60*i, 60))
	}
	large.WriteString(entryIn("tenant/l", "hosts: ["+list(9, strings.Repeat("a", 60)+"."+strings.Repeat("b", 60)+"%.test")+"], "+ports))
	for name, c := range map[string]struct {
		limits egress.Limits
		text   string
		want   string // the first error
		left   int    // errors of objects
	}{
		"ports of an object":     {egress.Limits{}, portsEntry("tenant", 1, 10000, 3000), "ServiceEntry tenant/e1: spec.ports: 3000 ports exceed the limit of 100 for an object, and all of it is ignored; remove ports, or raise --egress-max-object-ports", 1},
		"hosts of an object":     {egress.Limits{}, entryIn("tenant/h", "hosts: ["+list(1001, "h%.test")+"], "+ports), "ServiceEntry tenant/h: spec.hosts: 1001 hosts exceed the limit of 1000", 1},
		"addresses":              {egress.Limits{}, entryIn("tenant/a", "hosts: [a.test], addresses: ["+list(1001, "198.51.100.7")+"], "+ports), "ServiceEntry tenant/a: spec.addresses: 1001 addresses exceed the limit of 1000", 1},
		"endpoints":              {egress.Limits{}, entryIn("tenant/a", "hosts: [a.test], resolution: STATIC, endpoints: ["+list(1001, "{address: 192.0.2.1}")+"], "+ports), "ServiceEntry tenant/a: spec.endpoints: 1001 endpoints exceed", 1},
		"bytes of an object":     {egress.Limits{ObjectBytes: 1000}, large.String(), "ServiceEntry tenant/l: spec: 1", 1},
		"routes":                 {egress.Limits{}, routes("http: [" + list(501, "{directResponse: {status: 200}}") + "]"), "VirtualService tenant/v: spec.http: 501 routes exceed the limit of 500", 1},
		"matches":                {egress.Limits{}, routes("http: [{match: [" + list(2001, "{uri: {exact: /%}}") + "], directResponse: {status: 200}}]"), "VirtualService tenant/v: spec.http: 2001 matches exceed the limit of 2000", 1},
		"hosts of routes":        {egress.Limits{ObjectHosts: 2}, strings.Replace(routes("http: [{directResponse: {status: 200}}]"), "[a.tenant.test]", "[a.test, b.test, c.test]", 1), "VirtualService tenant/v: spec.hosts: 3 hosts exceed the limit of 2", 1},
		"objects of a namespace": {egress.Limits{NamespaceObjects: 4}, many.String(), "ServiceEntry tenant/m4: with this object, namespace tenant has 5 ServiceEntries and VirtualServices, which exceeds the limit of 4: the object is ignored; remove other objects of the namespace, or raise --egress-max-namespace-objects", 2},
		"hosts of a namespace":   {egress.Limits{NamespaceHosts: 9}, many.String(), "ServiceEntry tenant/m4: with this object, namespace tenant has 10 hosts of ServiceEntries, once for each port, which exceeds the limit of 9", 2},
		"bytes of a namespace":   {egress.Limits{NamespaceBytes: 400}, many.String(), "ServiceEntry tenant/m", 3},
		"ports of a namespace":   {egress.Limits{}, twice.String(), "ServiceEntry tenant/e13: with this object, namespace tenant has 240 ports of ServiceEntries, which exceeds the limit of 200", 3},
	} {
		t.Run(name, func(t *testing.T) {
			neighbor := entryIn("shop/e", "hosts: [shop.test], "+ports)
			in := egresstest.Parse(t, "{}\n"+c.text+neighbor)
			in.Limits = c.limits
			m, problems := egress.Build(in)
			over := map[string]bool{}
			for _, p := range problems.Errors() {
				if p.Type != problem.TypeOverBudget {
					t.Errorf("another problem: %s", p)
				}
				over[p.Source] = true
				if c := egress.ConditionOf(problems.From(p.Source)); c.Accepted || c.Reason != egress.ReasonOverBudget {
					t.Errorf("condition %+v", c)
				}
			}
			if len(over) != c.left || !strings.HasPrefix(problems.Errors()[0].String(), c.want) {
				t.Errorf("%d objects over the budget, want %d: %v", len(over), c.left, problems)
			}
			if v := m.View("shop"); !slices.Contains(v.Hosts(), "outbound|80||shop.test") {
				t.Errorf("hosts %v", v.Hosts())
			}
		})
	}
}

// TestPortsOfAView has namespaces with as many ports as they may have. The sidecar of
// another namespace has its own ports, those of the root namespace, and those of a
// namespace with few, which is the youngest.
func TestPortsOfAView(t *testing.T) {
	var text strings.Builder
	text.WriteString("{}\n" + entryIn("shop/e", "hosts: [shop.test], ports: [{number: 60000, name: h, protocol: HTTP}, {number: 60001, name: t, protocol: TCP}], resolution: DNS") +
		entryIn("istio-system/e", "hosts: [root.test], ports: [{number: 61000, name: h, protocol: HTTP}]"))
	for tenant := range 12 {
		for i := range 2 {
			text.WriteString(portsEntry(fmt.Sprintf("tenant%d", tenant), 2*tenant+i, 10000+2000*tenant+100*i, 100))
		}
	}
	text.WriteString(strings.Replace(entryIn("lib/e", "hosts: [lib.test], ports: [{number: 62000, name: h, protocol: HTTP}, {number: 62001, name: t, protocol: TLS}]"), "name: e}", "name: e, created: \"2027-01-01T00:00:00Z\"}", 1))
	m, problems := egress.Build(egresstest.Parse(t, text.String()))
	if errs := problems.Errors(); len(errs) > 0 {
		t.Fatalf("errors: %v", errs)
	}
	for namespace, own := range map[string][]uint32{"shop": {60000, 60001}, "gym": nil, "lib": {62000, 62001}, "tenant3": {16000, 16199}} {
		ports := map[uint32]bool{}
		of := map[string]int{}
		v := m.View(namespace)
		for _, p := range v.Ports() {
			ports[p.Number] = true
			for _, h := range p.Hosts {
				of[h.Meta.Namespace]++
			}
		}
		if len(ports) != egress.DefaultViewPorts {
			t.Errorf("%s: %d ports", namespace, len(ports))
		}
		for _, port := range append(own, 80, 443, 61000, 62000, 62001) {
			if !ports[port] {
				t.Errorf("%s: no port %d", namespace, port)
			}
		}
		for tenant := range 12 {
			if n := of[fmt.Sprintf("tenant%d", tenant)]; n < 20 {
				t.Errorf("%s: %d ports of tenant%d", namespace, n, tenant)
			}
		}
		if again := m.View(namespace); again.Version() != v.Version() {
			t.Errorf("%s: another view of the same objects", namespace)
		}
	}
	omitted := 0
	for _, p := range problems {
		if strings.HasPrefix(p.Source, "ServiceEntry tenant") && strings.Contains(p.Rule, "more than the 500 ports that a sidecar listens on, and namespace tenant") {
			omitted++
		} else {
			t.Errorf("problem %s", p)
		}
	}
	if omitted != 12*200-(500-6) {
		t.Errorf("%d warnings", omitted)
	}
}
