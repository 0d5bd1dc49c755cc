package egress_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/egresstest"
)

// TestNamespacesOfAClassShareAView compares, among random objects, the view of each
// namespace that shares one with that of a namespace without objects.
func TestNamespacesOfAClassShareAView(t *testing.T) {
	shared, private, sums, again := 0, 0, map[egress.Sum]string{}, 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 3))
		m, _ := egress.Build(egresstest.Parse(t, "{}\n"+strings.Join(randomTenants(r), "")))
		common := m.View("none")
		for _, ns := range []string{"shop", "bank", "gym", "istio-system"} {
			sum, version := m.Sum(egress.Workload{Namespace: ns}), m.View(ns).Version()
			if other, has := sums[sum]; has {
				again++
				if other != version {
					t.Fatalf("seed %d: the view of %s has the sum of another one", seed, ns)
				}
			}
			sums[sum] = version
			if m.Class(ns) != m.Class("none") {
				private++
				continue
			}
			shared++
			if v := m.View(ns); v.Version() != common.Version() {
				t.Fatalf("seed %d: %s has a view of its own\n%s\n%v\n%v", seed, ns, strings.Join(randomTenants(rand.New(rand.NewPCG(seed, 3))), ""), v.Hosts(), common.Hosts())
			}
		}
	}
	if again < 1000 {
		t.Errorf("%d views have the sum of another", again)
	}
	if shared < 1000 || private < 1000 {
		t.Errorf("%d shared and %d private views", shared, private)
	}
}

// randomTenants are a few objects of several namespaces, whose names, ports and
// addresses often meet.
func randomTenants(r *rand.Rand) []string {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	var out []string
	for i := range 2 + r.IntN(4) {
		ns := pick("shop", "shop", "bank", "gym", "istio-system")
		created := fmt.Sprintf("2026-01-0%dT00:00:00Z", 1+r.IntN(4))
		host := pick("a.example", "b.example", "*.example.", "x.a.example", "*.a.example", "c.test", "d.test", "*.c.test")
		host = strings.Replace(host, "*.example.", "*.x.example", 1)
		export := pick("", "", "", ", exportTo: [.]", ", exportTo: [gym]")
		if r.IntN(4) == 0 {
			out = append(out, fmt.Sprintf("\n---\nkind: VirtualService\nmetadata: {namespace: %s, name: v%d, created: %q}\nspec: {hosts: [%q], http: [{route: [{destination: {host: a.example}}], timeout: %ds}], tls: [{match: [{sniHosts: [%q]}], route: [{destination: {host: b.example}}]}]%s}\n",
				ns, i, created, host, i+1, host, export))
			continue
		}
		protocol := pick("HTTP", "HTTP", "TLS", "TCP", "TCP")
		addresses := pick("", "", ", addresses: [198.51.100.7]", ", addresses: [198.51.100.0/24]", ", addresses: [198.0.0.0/9]")
		resolution := pick("resolution: DNS", "resolution: NONE", fmt.Sprintf("resolution: STATIC, endpoints: [{address: 192.0.2.%d}]", i+1))
		out = append(out, fmt.Sprintf("\n---\nkind: ServiceEntry\nmetadata: {namespace: %s, name: e%d, created: %q}\nspec: {hosts: [%q], ports: [{number: %s, name: p, protocol: %s}], %s%s%s}\n",
			ns, i, created, host, pick("80", "443", "9000", "9001"), protocol, resolution, addresses, export))
	}
	return out
}
