package egress_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/test/egresstest"
)

// TestConflictingPorts has two namespaces that declare a port with each pair of protocols.
// With the shipped settings the port of each is the same in all bytes as without the other.
// With Istio's default each has the other's host beside its own: the requests of each go
// where they went, all that do not name what only the other has declared. Whether
// what is blocked is closed or answered depends on whether the port detects HTTP.
func TestConflictingPorts(t *testing.T) {
	where := func(d decide.Decision) string {
		if d.Kind == decide.Closed || d.Kind == decide.Answered && d.Status == 502 {
			return "blocked"
		}
		return fmt.Sprint(d.Kind, d.Status, d.Clusters, d.Route, d.Authority, d.Path)
	}
	pairs := 0
	for settings, mesh := range map[string]string{"shipped": egresstest.Shipped(t, "REGISTRY_ONLY"), "Istio's default": "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"} {
		view := func(namespace, entries string) *egress.View {
			m, problems := egress.Build(egresstest.Parse(t, mesh+entries))
			if errs := problems.Errors(); len(errs) > 0 {
				t.Fatal(errs)
			}
			return m.View(namespace)
		}
		for _, port := range []uint16{80, 443, 9000} {
			for own := range egresstest.PortKinds() {
				for other := range egresstest.PortKinds() {
					pairs++
					entry := egresstest.PortEntry("shop", own, port)
					alone, both := view("shop", entry), view("shop", entry+egresstest.PortEntry("bank", other, port))
					if settings == "shipped" && !bytes.Equal(resourcesOf(t, alone), resourcesOf(t, both)) {
						t.Errorf("port %d, shop has %s, bank %s: the resources of shop differ", port, own, other)
					}
					for _, q := range egresstest.PortRequests("shop", port) {
						if got, want := where(decide.Decide(both, q)), where(decide.Decide(alone, q)); got != want {
							t.Errorf("%s, port %d, shop has %s, bank %s: %s %s%s: %s, want %s", settings, port, own, other, q.Protocol, q.Authority, q.ServerName, got, want)
						}
					}
				}
			}
		}
	}
	if pairs < 200 {
		t.Errorf("%d pairs", pairs)
	}
}

// TestTCPWithoutAddressesOfSeveralNamespaces has one port for TCP without addresses, with
// two hosts in each of two namespaces: connections go to the first host of the namespace
// that they come from, and from a third one nowhere.
func TestTCPWithoutAddressesOfSeveralNamespaces(t *testing.T) {
	text := "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"
	for _, ns := range []string{"shop", "bank"} {
		for _, host := range []string{"a", "b"} {
			text += entryIn(ns+"/"+host, fmt.Sprintf("hosts: [%s.%s.test], ports: [{number: 9000, name: t, protocol: TCP}, {number: 443, name: u, protocol: TCP}], resolution: DNS", host, ns))
		}
	}
	m, _ := egress.Build(egresstest.Parse(t, text))
	for ns, want := range map[string]string{"shop": "outbound|9000||a.shop.test", "bank": "outbound|9000||a.bank.test", "gym": egress.BlackHoleCluster} {
		d := decide.Decide(m.View(ns), decide.Request{Address: netip.MustParseAddr("203.0.113.1"), Port: 9000, Protocol: decide.TCP})
		got := egress.BlackHoleCluster
		if d.Kind == decide.Forwarded {
			got = d.Clusters[0].Cluster
		}
		if got != want {
			t.Errorf("TCP of %s goes to %s, want %s", ns, got, want)
		}
		for _, name := range []string{"b." + ns + ".test", "b.shop.test", "b.bank.test", "b.other.test"} {
			d := decide.Decide(m.View(ns), decide.Request{Address: netip.MustParseAddr("203.0.113.1"), Port: 443, Protocol: decide.TLS, ServerName: name})
			want := "outbound|443||" + name
			if ns == "gym" || !strings.HasSuffix(name, "."+ns+".test") {
				want = egress.BlackHoleCluster
			}
			if len(d.Clusters) != 1 || d.Clusters[0].Cluster != want {
				t.Errorf("TLS of %s to %s: %+v, want %s", ns, name, d, want)
			}
		}
	}
}
