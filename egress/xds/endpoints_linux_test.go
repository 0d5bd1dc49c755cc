package xds

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
)

// TestSeveralNamedEndpoints distributes connections among names and addresses; no
// name is connected to a forbidden address.
func TestSeveralNamedEndpoints(t *testing.T) {
	m := newMesh(t, map[string]string{
		"one.test": "192.0.2.61", "two.test": "192.0.2.62", "six.test": "2001:db8::63",
		"loop.test": "127.0.0.1", "metadata.test": "169.254.169.254", "gone.test": "127.0.0.2",
	})
	entry := func(name, spec string) func(*egress.Input) { return entryOf(t, "shop", name, spec) }
	const tcp, tls = `{"number": 9000, "name": "tcp", "protocol": "TCP"}`, `{"number": 443, "name": "tls", "protocol": "TLS"}`
	reached := m.listenInside()
	m.publish(modelOf(t, "REGISTRY_ONLY",
		entry("good", `{"hosts": ["good.test"], "ports": [`+tcp+`, `+tls+`], "addresses": ["203.0.113.1"], "resolution": "DNS",
			"endpoints": [{"address": "one.test", "weight": 3}, {"address": "two.test"}, {"address": "six.test"}, {"address": "192.0.2.64"}, {"address": "2001:db8::65", "weight": 2}]}`),
		entry("evil", `{"hosts": ["evil.test", "*.evil.test"], "ports": [`+tcp+`, `+tls+`], "addresses": ["203.0.113.2"], "resolution": "DNS",
			"endpoints": [{"address": "loop.test"}, {"address": "metadata.test"}, {"address": "gone.test"}]}`),
		entry("by", `{"hosts": ["by.test"], "ports": [`+tls+`], "resolution": "DNS"}`),
		routeOf(t, "shop", "by", `{"hosts": ["by.test"], "tls": [{"match": [{"sniHosts": ["by.test"]}], "route": [
			{"destination": {"host": "good.test", "port": {"number": 443}}, "weight": 80}, {"destination": {"host": "by.test"}, "weight": 10}, {"destination": {"host": "evil.test", "port": {"number": 443}}, "weight": 10}]}]}`),
		entry("httpbin", httpbin),
	), "http", "httpbin.org", addrOther, "200")
	m.setName("by.test", "192.0.2.66")

	plain := decide.Request{Address: netip.MustParseAddr("203.0.113.1"), Port: 9000, Protocol: decide.HTTP, Method: "GET", Authority: "x", Path: "/"}
	sni := func(name string) decide.Request {
		return decide.Request{Address: netip.MustParseAddr(addrOther), Port: 443, Protocol: decide.TLS, ServerName: name, Method: "GET", Authority: "x", Path: "/"}
	}
	good := map[string]int{"192.0.2.61": 3, "192.0.2.62": 1, "2001:db8::63": 1, "192.0.2.64": 1, "2001:db8::65": 2}
	for what, q := range map[string]decide.Request{"TCP": plain, "TLS": sni("good.test")} {
		m.wantDistribution(what, q, good, 8)
	}
	m.wantDistribution("a route", sni("by.test"), map[string]int{"192.0.2.61": 30, "192.0.2.62": 10, "2001:db8::63": 10, "192.0.2.64": 10, "2001:db8::65": 20, "192.0.2.66": 10, "closed": 10}, 100)
	m.logged("outbound|9000||good.test", "192.0.2.61:9000")
	m.logged("outbound|443||good.test", "[2001:db8::63]:443")
	m.logged("outbound|443||by.test", "192.0.2.66:443")

	plain.Address = netip.MustParseAddr("203.0.113.2")
	for what, q := range map[string]decide.Request{"TCP": plain, "TLS": sni("evil.test"), "TLS under a wildcard": sni("a.evil.test")} {
		for range 30 {
			if got := m.send(q); got != "closed" {
				t.Errorf("%s: %q", what, got)
			}
		}
	}
	if got := reached.String(); got != "" {
		t.Errorf("the pod's own addresses were reached:\n%s", got)
	}
}

// wantDistribution counts which addresses 400 connections reach, and compares that
// with the weight of each.
func (m *mesh) wantDistribution(what string, q decide.Request, weights map[string]int, sum int) {
	m.t.Helper()
	const connections = 400
	got := map[string]int{}
	for range connections {
		at, _, _ := strings.Cut(m.send(q), " ")
		got[strings.TrimPrefix(at, "at=")]++
	}
	for where, n := range got {
		want := connections * weights[where] / sum
		// At most about four standard deviations.
		if want == 0 || n < want-want/2-12 || n > want+want/2+12 {
			m.t.Errorf("%s: %d of %d connections at %s, want about %d", what, n, connections, where, want)
		}
	}
	if len(got) != len(weights) {
		m.t.Errorf("%s: %s", what, fmt.Sprint(got))
	}
}
