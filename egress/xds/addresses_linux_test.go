package xds

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress/decide"
)

// TestAddressesAreNames has entries with addresses on HTTP and TLS ports, and
// clients that connect to an address instead of a name.
func TestAddressesAreNames(t *testing.T) {
	const (
		web = `"ports": [{"number": 80, "name": "http", "protocol": "HTTP"}, {"number": 443, "name": "tls", "protocol": "HTTPS"}], `
		// of the entries, in the order below
		byDNS, byDNS6, fixed, none, none6, routed, wildcard, ranged = "198.51.100.7", "2001:db8::7", "198.51.100.8", "198.51.100.9", "2001:db8::9", "198.51.100.10", "198.51.100.11", "203.0.113.77"
		other                                                       = "198.51.100.200"
	)
	m := newMesh(t, map[string]string{"logs.test": "192.0.2.81", "second.test": "192.0.2.82", "routed.test": "192.0.2.83", "to.test": "192.0.2.84"})
	for _, mode := range []struct{ name, http, tls string }{{"REGISTRY_ONLY", "502", "closed"}, {"ALLOW_ANY", other, other}} {
		model := modelOf(t, mode.name,
			entryOf(t, "shop", "logs", `{"hosts": ["logs.test", "second.test"], "addresses": ["198.51.100.7", "2001:db8::7/128"], `+web+`"resolution": "DNS"}`),
			entryOf(t, "shop", "fixed", `{"hosts": ["fixed.test"], "addresses": ["198.51.100.8/32"], `+web+`"resolution": "STATIC", "endpoints": [{"address": "192.0.2.85"}]}`),
			entryOf(t, "shop", "fixed6", `{"hosts": ["fixed6.test"], "addresses": ["2001:db8::8", "198.51.101.0/24"], `+web+`"resolution": "STATIC", "endpoints": [{"address": "192.0.2.86"}]}`),
			entryOf(t, "shop", "mixed-http", `{"hosts": ["mixed-http.test"], "addresses": ["198.51.100.12"], "ports": [{"number": 9000, "name": "http", "protocol": "HTTP"}], "resolution": "STATIC", "endpoints": [{"address": "192.0.2.87"}]}`),
			entryOf(t, "shop", "mixed-tls", `{"hosts": ["mixed-tls.test"], "addresses": ["198.51.100.12"], "ports": [{"number": 9000, "name": "tls", "protocol": "TLS"}], "resolution": "STATIC", "endpoints": [{"address": "192.0.2.88"}]}`),
			entryOf(t, "shop", "none", `{"hosts": ["legacy.test"], "addresses": ["198.51.100.9", "2001:db8::9"], `+web+`"resolution": "NONE"}`),
			entryOf(t, "shop", "routed", `{"hosts": ["routed.test", "to.test"], "addresses": ["198.51.100.10"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "resolution": "DNS"}`),
			routeOf(t, "shop", "routed", `{"hosts": ["routed.test"], "http": [{"match": [{"uri": {"prefix": "/gone"}}], "directResponse": {"status": 299}}, {"route": [{"destination": {"host": "to.test"}}]}]}`),
			entryOf(t, "shop", "wildcard", `{"hosts": ["*.wild.test"], "addresses": ["198.51.100.11"], `+web+`"resolution": "NONE"}`),
			entryOf(t, "shop", "ranged", `{"hosts": ["ranged.test"], "addresses": ["203.0.113.0/24", "203.0.113.64/28"], "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}], "resolution": "NONE"}`),
		)
		m.publish(model, "http", byDNS, byDNS, "200 at=192.0.2.81")
		m.settled()
		view := model.View("shop")
		for _, c := range []struct{ address, host, http, tls string }{
			{byDNS, byDNS, "192.0.2.81", "192.0.2.81"}, {byDNS, byDNS + ":80", "192.0.2.81", "192.0.2.81"}, {other, byDNS, "192.0.2.81", mode.tls},
			{byDNS6, "[" + byDNS6 + "]", "192.0.2.81", "192.0.2.81"}, {byDNS6, "[2001:DB8::7]:80", "192.0.2.81", "192.0.2.81"},
			{fixed, fixed, "192.0.2.85", "192.0.2.85"}, {none, none, none, none}, {other, none, none, mode.tls}, {none6, "[" + none6 + "]", none6, none6},
			{routed, routed, "192.0.2.84", strings.Replace(mode.tls, other, routed, 1)}, {wildcard, wildcard, wildcard, wildcard}, {other, other, mode.http, mode.tls},
			{"2001:db8::8", "[2001:db8::8]", "192.0.2.86", "192.0.2.86"}, {"198.51.101.3", "198.51.101.3", strings.Replace(mode.http, other, "198.51.101.3", 1), "192.0.2.86"},
			{ranged, "", "", ranged}, {"203.0.113.1", "", "", "203.0.113.1"},
		} {
			q := decide.Request{Address: netip.MustParseAddr(c.address), Port: 80, Protocol: decide.HTTP, Method: "GET", Authority: c.host, Path: "/"}
			if c.host != "" {
				m.wantAt(mode.name, q, decide.Decide(view, q), c.http)
			}
			q.Port, q.Protocol, q.Authority = 443, decide.TLS, "x"
			m.wantAt(mode.name, q, decide.Decide(view, q), c.tls)
			q.ServerName = "undeclared.test" // is not covered by an address
			m.wantAt(mode.name, q, decide.Decide(view, q), strings.Replace(mode.tls, other, c.address, 1))
		}
		// One address and port, with a host for each protocol.
		q := decide.Request{Address: netip.MustParseAddr("198.51.100.12"), Port: 9000, Protocol: decide.HTTP, Method: "GET", Authority: "198.51.100.12:9000", Path: "/"}
		m.wantAt(mode.name, q, decide.Decide(view, q), "192.0.2.87")
		q.Protocol, q.Authority = decide.TLS, "x"
		m.wantAt(mode.name, q, decide.Decide(view, q), "192.0.2.88")
		if got := m.fetch("GET", routed, "/gone", nil); !strings.HasPrefix(got, "299") {
			t.Errorf("%s, the routes of an address: %q", mode.name, got)
		}
	}
	m.logged("outbound|80||198.51.100.7 ", `"192.0.2.81:80"`)
	m.logged("outbound|443||198.51.100.7 ", `"192.0.2.81:443"`)
	m.logged("outbound|443||2001:db8::7 ", `"192.0.2.81:443"`)
	m.logged("outbound|443||198.51.100.8 ", `"192.0.2.85:443"`)
	m.logged("outbound|443||203.0.113.77 ", `"203.0.113.77:443"`)
}

// wantAt compares the result of a request, and the model's decision about it, with
// the address that it should reach, or what the sidecar does itself.
func (m *mesh) wantAt(what string, q decide.Request, d decide.Decision, want string) {
	m.t.Helper()
	if net.ParseIP(want) != nil {
		want = "at=" + want + " "
	}
	if got, model := m.send(q), m.expected(d, q); !strings.HasPrefix(got, want) || !strings.HasPrefix(got, model[0]) {
		m.t.Errorf("%s, %+v: %q, the model %q, want %q", what, q, got, model, want)
	}
}
