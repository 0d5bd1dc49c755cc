package egress_test

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/test/egresstest"
)

// TestCrossNamespaceConflicts has a host in several namespaces, and the warning
// for each object.
func TestCrossNamespaceConflicts(t *testing.T) {
	const older, newer = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
	one := func(kind, namespace, name, created, exportTo string) string {
		spec := `hosts: [a.example], ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: http2, protocol: HTTP}], resolution: DNS`
		if kind == egress.KindVirtualService {
			spec = `hosts: [a.example], http: [{timeout: 1s, route: [{destination: {host: a.example}}]}]`
		}
		return "\n---\nkind: " + kind + "\nmetadata: {namespace: " + namespace + ", name: " + name + ", created: \"" + created + "\"}\nspec: {" + spec + ", exportTo: [" + exportTo + "]}\n"
	}
	entry := func(namespace, name, created, exportTo string) string {
		return one(egress.KindServiceEntry, namespace, name, created, exportTo)
	}
	bank := entry("bank", "b", older, "")
	const loses, wins = "takes precedence in other namespaces (", "takes precedence over "
	for _, tt := range []struct {
		name, text string
		kind, want string
	}{
		{"alone", "", egress.KindServiceEntry, ""},
		{"older", bank, egress.KindServiceEntry, `spec.hosts: "a.example": ServiceEntry bank/b ` + loses + `older); set exportTo: ["."] to limit this one to its namespace`},
		{"younger", entry("bank", "b", "2026-01-03T00:00:00Z", ""), egress.KindServiceEntry, `"a.example": ` + wins + "ServiceEntry bank/b in other namespaces (older); set exportTo to limit it"},
		{"as old", entry("bank", "b", newer, ""), egress.KindServiceEntry, "ServiceEntry bank/b " + loses + "alphabetical order)"},
		{"the root namespace's", bank + entry("istio-system", "r", newer, ""), egress.KindServiceEntry, "ServiceEntry istio-system/r " + loses + "root namespace)"},
		{"not exported", entry("bank", "b", older, `"."`), egress.KindServiceEntry, ""},
		{"exported to no namespace", entry("bank", "b", older, `"~"`), egress.KindServiceEntry, ""},
		{"exported to a third", entry("bank", "b", older, "gym"), egress.KindServiceEntry, "an entry that this namespace does not see " + loses},
		{"exported to this one", entry("bank", "b", older, "shop"), egress.KindServiceEntry, ""},
		{"of the same namespace", entry("shop", "b", older, ""), egress.KindServiceEntry, ""},
		{"routes", one(egress.KindVirtualService, "bank", "b", older, "") + one(egress.KindVirtualService, "shop", "o", newer, ""), egress.KindVirtualService, ""},
	} {
		m, _ := egress.Build(egresstest.Parse(t, "accessLogFile: /dev/stdout\n"+entry("shop", "o", newer, "")+tt.text))
		got := m.CrossNamespaceConflicts(tt.kind, "shop", "o")
		if tt.want == "" && len(got) == 0 {
			continue
		}
		if len(got) != 1 || !strings.Contains(got[0].String(), tt.want) || got[0].Severity != problem.Warning {
			t.Errorf("%s: %v, want %s", tt.name, got, tt.want)
		}
		if all := m.Precedence().From("ServiceEntry shop/o"); len(all) != 1 || all[0] != got[0] {
			t.Errorf("%s: the status has %v, admission %v", tt.name, all, got)
		}
	}
}

// TestBothAuthorsAreTold has a host that two namespaces declare.
func TestBothAuthorsAreTold(t *testing.T) {
	m, _ := egress.Build(egresstest.Parse(t, "{}\n"+
		entryIn("shop/e", "hosts: [a.example], ports: [{number: 80, name: h, protocol: HTTP}], resolution: DNS")+
		strings.Replace(entryIn("tenant/e", "hosts: [a.example], ports: [{number: 80, name: h, protocol: HTTP}], resolution: DNS"), "name: e}", `name: e, created: "2026-02-01T00:00:00Z"}`, 1)))
	const want = `ServiceEntry shop/e: spec.hosts: "a.example": takes precedence over ServiceEntry tenant/e in other namespaces (older); set exportTo to limit it
ServiceEntry tenant/e: spec.hosts: "a.example": ServiceEntry shop/e takes precedence in other namespaces (older); set exportTo: ["."] to limit this one to its namespace`
	if got := strings.Join(m.Precedence().Strings(), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestCrossNamespaceAddresses has entries of two namespaces that claim the same
// connections of a third one by address, or by port alone.
func TestCrossNamespaceAddresses(t *testing.T) {
	entry := func(object, host, more string) string {
		return entryIn(object, "hosts: ["+host+"], resolution: DNS, "+more)
	}
	const tcp, tls, address = "ports: [{number: 9000, name: t, protocol: TCP}]", "ports: [{number: 443, name: t, protocol: TLS}]", ", addresses: [198.51.100.7, 203.0.113.0/24]"
	for name, c := range map[string]struct{ own, other, want string }{
		"TCP without addresses":            {entry("shop/o", "o.example, p.example", tcp), entry("bank/b", "b.example, c.example", tcp), `spec.ports: "9000": TCP without addresses applies in the namespace of the entry only; add addresses, or set exportTo: ["."]`},
		"TCP with one of them":             {entry("shop/o", "o.example", tcp+address), entry("bank/b", "b.example", tcp+", addresses: [198.51.100.7]"), `spec.addresses: "198.51.100.7/32": ServiceEntry bank/b takes precedence in other namespaces`},
		"TLS with addresses":               {entry("shop/o", "o.example", tls+address), entry("bank/b", "b.example", tls+", addresses: [203.0.113.0/24]"), `spec.addresses: "203.0.113.0/24": ServiceEntry bank/b takes precedence`},
		"HTTP with an address":             {entry("shop/o", "o.example", "ports: [{number: 80, name: h, protocol: HTTP}], addresses: [198.51.100.7]"), entry("bank/b", "b.example", "ports: [{number: 80, name: h, protocol: HTTP}], addresses: [198.51.100.7]"), `spec.addresses: "198.51.100.7": ServiceEntry bank/b takes precedence`},
		"the same host":                    {entry("shop/o", "o.example", tcp), entry("bank/b", "o.example", tls), `spec.ports: "9000": TCP without addresses applies`},
		"with and without":                 {entry("shop/o", "o.example", tcp+address), entry("bank/b", "b.example", tcp), ""},
		"addresses in a range":             {entry("shop/o", "o.example", tcp+", addresses: [203.0.113.9]"), entry("bank/b", "b.example", tcp+address), `spec.addresses: "203.0.113.9/32": ServiceEntry bank/b takes precedence`},
		"a range with addresses":           {entry("shop/o", "o.example", tcp+", addresses: [198.51.100.0/24]"), entry("bank/b", "b.example", tcp+address), `spec.addresses: "198.51.100.0/24": ServiceEntry bank/b takes precedence`},
		"a range of another entry over it": {entry("bank/o", "o.example", tcp+address), entry("shop/o", "b.example", tcp+", addresses: [198.51.100.7]"), `spec.addresses: "198.51.100.7/32": ServiceEntry bank/o takes precedence`},
		"a wide range":                     {entry("shop/o", "o.example", tcp+", addresses: [10.0.0.0/8, 198.51.100.7]"), "", `spec.addresses: "10.0.0.0/8": ranges wider than /16, or /48 of IPv6, apply in the namespace of the entry only; use smaller ranges, or set exportTo: ["."]`},
		"TCP on a port of names":           {entry("shop/o", "o.example", tcp+", addresses: [198.51.100.7]"), entry("bank/b", "b.example", strings.Replace(tcp, "TCP", "TLS", 1)), `spec.ports: "9000": ServiceEntry bank/b takes precedence`},
		"TCP on the port of HTTPS":         {entry("shop/o", "o.example", strings.Replace(tls, "TLS", "TCP", 1)+address), "", `spec.ports: "443": TCP on the ports of HTTP and HTTPS applies in the namespace of the entry only`},
		"the name of a Service":            {entry("shop/o", "web.bank.svc.cluster.local", tls), "", `spec.hosts: "web.bank.svc.cluster.local": the name of a Service applies in the namespace of the entry only`},
		"its own Service":                  {entry("shop/o", "web.shop.svc.cluster.local", tls), "", ""},
		"a name under a wildcard":          {entry("shop/o", "o.x.example", tls), entryIn("bank/b", `hosts: ["*.x.example"], ports: [{number: 80, name: h, protocol: HTTP}]`), `spec.hosts: "o.x.example": ServiceEntry bank/b takes precedence in other namespaces (alphabetical order)`},
		"TLS without":                      {entry("shop/o", "o.example", tls), entry("bank/b", "b.example", tls), ""},
		"another port":                     {entry("shop/o", "o.example", tcp+address), entry("bank/b", "b.example", strings.Replace(tcp, "9000", "9001", 1)+address), ""},
		"exported to its namespace alone":  {entry("shop/o", "o.example", tcp+address), entry("bank/b", "b.example", tcp+address+", exportTo: [.]"), ""},
	} {
		m, _ := egress.Build(egresstest.Parse(t, "accessLogFile: /dev/stdout\n"+c.own+c.other))
		got := m.CrossNamespaceConflicts(egress.KindServiceEntry, "shop", "o")
		if c.want == "" && len(got) == 0 {
			continue
		}
		if len(got) != 1 || !strings.Contains(got[0].String(), c.want) || got[0].Severity != problem.Warning {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}

// TestWhereRoutesApply has a VirtualService of shop, and its warning where it does
// not apply in the other namespaces that see it.
func TestWhereRoutesApply(t *testing.T) {
	entry := func(namespace, exportTo string) string {
		return entryIn(namespace+"/e", "hosts: [a.example], ports: [{number: 80, name: h, protocol: HTTP}], resolution: DNS"+exportTo)
	}
	const warning = `VirtualService shop/v: spec.hosts[0]: "a.example": applies in namespace shop only: in others, the routes of the namespace that declares the host, and of the root namespace, apply`
	for name, c := range map[string]struct{ entries, namespace, exportTo, want string }{
		"its own host":                 {entry("shop", ""), "shop", "", ""},
		"the host of another":          {entry("bank", ""), "shop", "", warning + `: there ServiceEntry bank/e declares a.example; set exportTo: ["."], or move the VirtualService to the namespace of the ServiceEntry`},
		"of the root namespace":        {entry("istio-system", ""), "shop", "", warning + ": there ServiceEntry istio-system/e declares a.example"},
		"its own, which another has":   {entry("bank", "") + entry("shop", ""), "shop", "", warning + ": there ServiceEntry bank/e"},
		"in its namespace alone":       {entry("bank", ""), "shop", ", exportTo: [.]", ""},
		"exported to one namespace":    {entry("bank", "") + entry("gym", ", exportTo: [.]"), "shop", ", exportTo: [gym, .]", warning + "; set"},
		"routes of the root namespace": {entry("bank", ""), "istio-system", "", ""},
		"a host that only it sees":     {entry("bank", ", exportTo: [shop]"), "shop", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := egress.Build(egresstest.Parse(t, "{}\n"+c.entries+"\n---\nkind: VirtualService\nmetadata: {namespace: "+c.namespace+", name: v}\nspec: {hosts: [a.example], http: [{timeout: 1s, route: [{destination: {host: a.example}}]}]"+c.exportTo+"}\n"))
			if c.want == "" && len(problems) == 0 {
				return
			}
			if strings.Contains(c.want, "there ") != strings.HasPrefix(problems[0].String(), "ServiceEntry ") && !strings.Contains(c.entries, "gym") {
				t.Errorf("the author of the entry is not told, or without a reason: %v", problems)
			}
			problems = problems.From("VirtualService shop/v")
			if len(problems) != 1 || !strings.HasPrefix(problems[0].String(), c.want) || problems[0].Severity != problem.Warning {
				t.Errorf("problems %v, want %q", problems, c.want)
			}
		})
	}
}
