package xds

import (
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

// tcpRequest is a connection to a TCP port, with the address that it reaches;
// "502" and "closed" are what the sidecar does itself.
type tcpRequest struct{ protocol, name, want string }

// wantTCP compares the results of connections to a port of an undeclared address,
// and the model's decisions, with what is wanted.
func (m *mesh) wantTCP(what string, v *egress.View, port uint16, requests []tcpRequest) {
	m.t.Helper()
	for _, r := range requests {
		q := decide.Request{Address: netip.MustParseAddr(addrOther), Port: port, Protocol: r.protocol, Method: "GET", Authority: r.name, Path: "/"}
		if r.protocol == decide.TLS {
			q.ServerName, q.Authority = r.name, "x"
		}
		d := decide.Decide(v, q)
		model := m.expected(d, q)
		if r.protocol == decide.TCP {
			if got := m.raw(q); !strings.HasPrefix(model[0], "at="+got) || got != r.want {
				m.t.Errorf("%s, port %d, TCP: %q, the model %q, want %q", what, port, got, model, r.want)
			}
			continue
		}
		want := r.want
		if net.ParseIP(want) != nil {
			want = "at=" + want + " "
		}
		got := m.send(q)
		agree := false
		for _, w := range model {
			agree = agree || strings.HasPrefix(got, w)
		}
		if !strings.HasPrefix(got, want) || !agree {
			m.t.Errorf("%s, port %d, %s %q: %q, the model %q, want %q", what, port, r.protocol, r.name, got, model, want)
		}
	}
}

// raw sends bytes of no protocol, and returns the address of the server that
// answers.
func (m *mesh) raw(q decide.Request) string {
	m.t.Helper()
	before := len(m.log.String())
	conn, client, err := m.dialFrom(netip.AddrPortFrom(q.Address, q.Port))
	kit.Must(m.t, err)
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, err = io.WriteString(conn, "no request and no handshake\r\n\r\n")
	kit.Must(m.t, err)
	_, err = conn.Read(make([]byte, 1))
	_ = conn.Close()
	if err != nil {
		return "closed"
	}
	line := ""
	kit.EventuallyTrue(m.t, "a line of the log for "+client, func() bool {
		for l := range strings.Lines(m.log.String()[before:]) {
			if strings.Contains(l, " "+client+" ") && strings.HasSuffix(l, "\n") {
				line = l
			}
		}
		return line != ""
	})
	upstream := strings.Split(line, `"`)
	host, _, err := net.SplitHostPort(upstream[len(upstream)-2])
	kit.Must(m.t, err)
	return host
}

// TestTCPWithoutAddresses has TCP hosts without addresses on ports whose protocol
// the sidecar detects: their names are matched by Host and SNI, and nothing else
// is opened.
func TestTCPWithoutAddresses(t *testing.T) {
	const vault, consul, tcp, api = "192.0.2.71", "192.0.2.72", "192.0.2.73", "192.0.2.74"
	m := newMesh(t, map[string]string{"vault.example.org": vault, "consul.example.org": consul, "tcp.test": tcp, "api.test": api, "loop.test": "127.0.0.1"})
	web := []func(*egress.Input){
		entryOf(t, "shop", "google", google),
		entryOf(t, "shop", "vault", `{"hosts": ["vault.example.org", "consul.example.org"], "ports": [{"number": 443, "name": "tcp", "protocol": "TCP"}, {"number": 80, "name": "t", "protocol": "TCP"}], "resolution": "DNS"}`),
		entryOf(t, "shop", "fixed", `{"hosts": ["*.fixed.test"], "ports": [{"number": 443, "name": "tcp", "protocol": "MONGO"}], "resolution": "STATIC", "endpoints": [{"address": "192.0.2.75"}]}`),
		entryOf(t, "shop", "loop", `{"hosts": ["loop.test"], "ports": [{"number": 443, "name": "tcp", "protocol": "TCP"}], "resolution": "DNS"}`),
		entryOf(t, "shop", "tcp", `{"hosts": ["tcp.test"], "ports": [{"number": 8080, "name": "tcp", "protocol": "TCP"}], "resolution": "DNS"}`),
	}
	const onTCP = `{"hosts": ["api.test"], "ports": [{"number": 8080, "name": "http", "protocol": "HTTP"}], "resolution": "DNS"}`
	http := entryOf(t, "shop", "api", onTCP)
	for _, mode := range []struct{ name, http, tls string }{{"REGISTRY_ONLY", "502", "closed"}, {"ALLOW_ANY", addrOther, addrOther}} {
		model := modelOf(t, mode.name, web...)
		m.publish(model, "https", "vault.example.org", addrOther, "200 at="+vault)
		m.settled()
		m.wantTCP(mode.name, model.View("shop"), 443, []tcpRequest{
			{decide.TLS, "vault.example.org", vault}, {decide.TLS, "Consul.Example.org", consul}, {decide.TLS, "a.fixed.test", "192.0.2.75"}, {decide.TLS, "www.google.com", addrGoogle},
			{decide.TLS, "edition.cnn.com", mode.tls}, {decide.TLS, "", mode.tls}, {decide.TLS, "loop.test", "closed"},
			{decide.HTTP, "vault.example.org", vault}, {decide.HTTP, "CONSUL.example.org:443", consul}, {decide.HTTP, "b.fixed.test:443", "192.0.2.75"},
			{decide.HTTP, "loop.test", "403"}, {decide.HTTP, "edition.cnn.com", mode.http}, {decide.TCP, "", "192.0.2.75"},
		})
		m.wantTCP(mode.name, model.View("shop"), 80, []tcpRequest{
			{decide.HTTP, "vault.example.org", vault}, {decide.HTTP, "consul.example.org:80", consul}, {decide.HTTP, "www.google.com", mode.http}, {decide.TLS, "vault.example.org", vault}, {decide.TCP, "", vault},
		})
		m.wantTCP(mode.name, model.View("shop"), 8080, []tcpRequest{{decide.HTTP, "any.test", tcp}, {decide.TLS, "any.test", tcp}, {decide.TCP, "", tcp}})

		model = modelOf(t, mode.name, append(web, http)...)
		m.publish(model, "http", "api.test:8080", addrOther, "200 at="+api)
		m.settled()
		m.wantTCP(mode.name+", HTTP on the port", model.View("shop"), 8080, []tcpRequest{
			{decide.HTTP, "tcp.test:8080", tcp}, {decide.HTTP, "TCP.test", tcp}, {decide.HTTP, "api.test", api}, {decide.HTTP, "other.test", mode.http},
			{decide.TLS, "tcp.test", tcp}, {decide.TLS, "other.test", mode.tls}, {decide.TCP, "", tcp},
		})
	}
}
