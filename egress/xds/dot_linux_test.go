package xds

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/test/kit"
)

// TestFinalDot has requests and connections to fully qualified names, in both
// modes: they go where those without the final dot go.
func TestFinalDot(t *testing.T) {
	m := newMesh(t, map[string]string{"fixed.test": "192.0.2.99", "routed.test": "192.0.2.98", "to.test": "192.0.2.47"})
	objects := func(mode string) *egress.View {
		model := modelOf(t, mode, entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "shop", "google", google), entryOf(t, "shop", "wild", wild),
			entryOf(t, "shop", "fixed", `{"hosts": ["fixed.test."], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}, {"number": 443, "name": "tls", "protocol": "TLS"}],
				"resolution": "STATIC", "endpoints": [{"address": "192.0.2.45"}]}`),
			entryOf(t, "shop", "to", `{"hosts": ["routed.test", "to.test"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}, {"number": 443, "name": "tls", "protocol": "TLS"}], "resolution": "DNS"}`),
			routeOf(t, "shop", "httpbin", `{"hosts": ["httpbin.org"], "http": [
				{"match": [{"authority": {"exact": "httpbin.org"}}], "route": [{"destination": {"host": "httpbin.org"}}]}, {"directResponse": {"status": 299}}]}`),
			routeOf(t, "shop", "routed", `{"hosts": ["routed.test"], "tls": [{"match": [{"sniHosts": ["routed.test"]}], "route": [{"destination": {"host": "to.test"}}]}]}`))
		m.publish(model, "http", "fixed.test", addrOther, "200 at=192.0.2.45")
		m.settled()
		return model.View("shop")
	}
	for _, mode := range []string{"REGISTRY_ONLY", "ALLOW_ANY"} {
		view := objects(mode)
		for _, host := range []string{
			"httpbin.org.", "HTTPBIN.ORG.", "httpbin.org.:80", "fixed.test.", "Fixed.Test.:80", "a.example.com.", "A.Example.Com.:80", "routed.test.", "unknown.test.", "example.com.",
		} {
			q := decide.Request{Address: netip.MustParseAddr(addrOther), Port: 80, Protocol: decide.HTTP, Method: "GET", Authority: host, Path: "/"}
			want := m.expected(decide.Decide(view, q), q)
			q.Authority = withoutFinalDot(host)
			same := m.expected(decide.Decide(view, q), q)
			q.Authority = host
			if got := m.send(q); !strings.HasPrefix(got, want[0]) || want[0] != same[0] {
				t.Errorf("%s, Host %s: %q, the model %q, and without the dot %q", mode, host, got, want, same)
			}
		}
		for sni, address := range map[string]string{
			"www.google.com.": addrGoogle, "WWW.google.com.": addrGoogle, "fixed.test.": "192.0.2.45", "a.example.com.": addrWild, "routed.test.": "192.0.2.47", "to.test.": "192.0.2.47",
			"edition.cnn.com.": "", "example.com.": "",
		} {
			if address == "" && mode == "ALLOW_ANY" {
				address = addrOther
			}
			m.wantHello(mode, sni, addrOther, address)
			m.wantHello(mode, strings.TrimSuffix(sni, "."), addrOther, address)
			q := decide.Request{Address: netip.MustParseAddr(addrOther), Port: 443, Protocol: decide.TLS, ServerName: sni}
			if d := decide.Decide(view, q); (d.Kind == decide.Closed) != (address == "") {
				t.Errorf("%s, SNI %s: the model: %+v", mode, sni, d)
			}
		}
	}
}

func withoutFinalDot(host string) string {
	name, port, has := strings.Cut(host, ":")
	name = strings.TrimSuffix(name, ".")
	if has {
		name += ":" + port
	}
	return name
}

// wantHello sends a ClientHello to port 443 of an address. The server has to answer
// from another one; empty: none answers.
func (m *mesh) wantHello(what, sni, to, want string) {
	m.t.Helper()
	before := len(m.log.String())
	answered := m.hello(sni, netip.AddrPortFrom(netip.MustParseAddr(to), 443))
	if answered != (want != "") {
		m.t.Errorf("%s, SNI %q to %s: answered: %v", what, sni, to, answered)
		return
	}
	if want != "" {
		want = net.JoinHostPort(want, "443")
		kit.EventuallyTrue(m.t, what+", SNI "+sni+" to "+to+": a connection to "+want, func() bool { return strings.Contains(m.log.String()[before:], `"`+want+`"`) })
	}
}

// hello reports whether a server answers a ClientHello with a name that Go itself
// would not send as it is.
func (m *mesh) hello(sni string, to netip.AddrPort) bool {
	var conn net.Conn
	var err error
	m.Do(func() { conn, err = net.DialTimeout("tcp", to.String(), 5*time.Second) })
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err = conn.Write(clientHello(m.t, sni)); err != nil {
		return false
	}
	_, err = io.ReadFull(conn, make([]byte, 5))
	return err == nil
}

func clientHello(t testing.TB, sni string) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer func() { _ = client.Close() }()
	name := strings.Repeat("x", len(sni))
	go func() { _ = tls.Client(client, &tls.Config{InsecureSkipVerify: true, ServerName: name}).Handshake() }()
	record := make([]byte, 4096)
	n, err := server.Read(record)
	kit.Must(t, err)
	_ = server.Close()
	return bytes.Replace(record[:n], []byte(name), []byte(sni), 1)
}
