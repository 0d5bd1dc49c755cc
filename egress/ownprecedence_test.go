package egress_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/egresstest"
)

// TestOwnPrecedence has an entry of shop that takes precedence over one of bank in shop
// alone, and the warnings of each author.
func TestOwnPrecedence(t *testing.T) {
	entry := func(object, created, spec string) string {
		return strings.Replace(entryIn(object, spec), "}\nspec", ", created: \""+created+"\"}\nspec", 1)
	}
	const older, newer = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
	const http, tcp = ", ports: [{number: 9000, name: h, protocol: HTTP}]", ", ports: [{number: 9000, name: t, protocol: TCP}], resolution: DNS"
	wild, name := `hosts: ["*.x.example"]`+http, "hosts: [a.x.example]"+http
	const (
		toBank   = `ServiceEntry bank/e: spec.hosts: "a.x.example": ServiceEntry shop/e, which declares a wildcard over this host, takes precedence in its namespace; set exportTo to limit this one`
		toShop   = `ServiceEntry shop/e: spec.hosts: "*.x.example": takes precedence in this namespace over ServiceEntry bank/e, which declares a.x.example; in other namespaces that one applies; set exportTo: ["."] to limit this one to its namespace`
		portBank = `ServiceEntry bank/e: spec.ports: "9000": ServiceEntry shop/e, which declares the port as TCP without addresses, takes precedence in its namespace; use another port, or set exportTo to limit this one`
		portShop = `ServiceEntry shop/e: spec.ports: "9000": takes precedence in this namespace over ServiceEntry bank/e, which declares HTTP or TLS on the port; no action is needed`
		hidden   = "an entry that this namespace does not see"
	)
	for title, c := range map[string]struct{ text, want string }{
		"a name under the wildcard":    {entry("shop/e", newer, wild) + entry("bank/e", older, name), toBank + "\n" + toShop},
		"a younger name":               {entry("shop/e", older, wild) + entry("bank/e", newer, name), ""},
		"a younger name and an older":  {entry("shop/e", newer, wild) + entry("bank/e", older, name) + entry("gym/e", "2026-01-03T00:00:00Z", "hosts: [b.x.example]"+http), toBank + "\n" + toShop},
		"exported to a third":          {entry("shop/e", newer, wild) + entry("bank/e", older, name+", exportTo: [gym, .]"), ""},
		"exported to it":               {entry("shop/e", newer, wild) + entry("bank/e", older, name+", exportTo: [shop, .]"), toBank + "\n" + toShop},
		"the wildcard is private":      {entry("shop/e", newer, wild+", exportTo: [.]") + entry("bank/e", older, name), ""},
		"the wildcard is not seen":     {entry("shop/e", newer, wild+", exportTo: [gym, .]") + entry("bank/e", older, name), strings.Replace(toBank, "ServiceEntry shop/e", hidden, 1) + "\n" + toShop},
		"the name is the root's":       {entry("shop/e", newer, wild) + entry("istio-system/e", older, name), ""},
		"the wildcard is the root's":   {entry("istio-system/e", newer, wild) + entry("bank/e", older, name), ""},
		"of one namespace":             {entry("shop/e", newer, wild) + entry("shop/f", older, name), ""},
		"HTTP on the port":             {entry("shop/e", newer, "hosts: [t.example]"+tcp) + entry("bank/e", older, name), portBank + "\n" + portShop},
		"HTTP on the port, younger":    {entry("shop/e", older, "hosts: [t.example]"+tcp) + entry("bank/e", newer, name), portBank + "\n" + portShop},
		"HTTP on another port":         {entry("shop/e", newer, strings.Replace("hosts: [t.example]"+tcp, "9000", "9001", 1)) + entry("bank/e", older, name), ""},
		"HTTP on a port of HTTP":       {strings.ReplaceAll(entry("shop/e", newer, "hosts: [t.example]"+tcp)+entry("bank/e", older, name), "9000", "80"), ""},
		"the same host as TCP":         {entry("bank/e", newer, "hosts: [a.x.example]"+strings.Replace(tcp, "9000", "9001", 1)) + entry("shop/e", older, name), `ServiceEntry shop/e: spec.hosts: "a.x.example": ServiceEntry bank/e declares this host as TCP without addresses, which applies in the namespace of that entry only; no action is needed`},
		"a wildcard under a wildcard":  {entry("shop/e", newer, wild) + entry("bank/e", older, `hosts: ["*.a.x.example"]`+http), strings.ReplaceAll(toBank+"\n"+toShop, "a.x.example", "*.a.x.example")},
		"a name that only looks alike": {entry("shop/e", newer, wild) + entry("bank/e", older, "hosts: [ax.example]"+http), ""},
	} {
		t.Run(title, func(t *testing.T) {
			m, _ := egress.Build(egresstest.Parse(t, "{}\n"+c.text))
			pick := func(lines []string) string {
				var out []string
				for _, l := range lines {
					if strings.Contains(l, "in this namespace") || strings.Contains(l, "in its namespace;") || strings.Contains(l, "of that entry only") {
						out = append(out, l)
					}
				}
				return strings.Join(out, "\n")
			}
			if got := pick(m.Precedence().Strings()); got != c.want {
				t.Errorf("statuses have\n%s\nwant\n%s", got, c.want)
			}
			var admission []string
			for _, ns := range []string{"bank", "shop"} {
				admission = append(admission, m.CrossNamespaceConflicts(egress.KindServiceEntry, ns, "e").Strings()...)
			}
			if got := pick(admission); got != c.want {
				t.Errorf("admission has\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// TestOwnPrecedenceIsLinear has 100 namespaces with a wildcard, and 100 with a name under
// it: each author has a warning about one entry, not of all.
func TestOwnPrecedenceIsLinear(t *testing.T) {
	const n = 100
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Replace(entryIn(fmt.Sprintf("name-%d/e", i), fmt.Sprintf("hosts: [a%d.x.example], ports: [{number: 80, name: h, protocol: HTTP}]", i)), "name: e", `name: e, created: "2025-01-01T00:00:00Z"`, 1))
		b.WriteString(strings.Replace(entryIn(fmt.Sprintf("wild-%d/e", i), `hosts: ["*.x.example"], ports: [{number: 80, name: h, protocol: HTTP}]`), "name: e", `name: e, created: "2026-01-01T00:00:00Z"`, 1))
	}
	m, _ := egress.Build(egresstest.Parse(t, "{}\n"+b.String()))
	told := 0
	for _, p := range m.Precedence() {
		if strings.Contains(p.String(), "in this namespace") || strings.Contains(p.String(), "in its namespace;") {
			told++
		}
	}
	if told != 2*n {
		t.Errorf("%d warnings, want one for each of %d entries", told, 2*n)
	}
}
