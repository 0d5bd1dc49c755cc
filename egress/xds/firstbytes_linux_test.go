package xds

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/test/kit"
)

// detection is the protocolDetectionTimeout of these tests: an answer before it has
// waited for nothing.
const detection = 3 * time.Second

// The results of a connection: the server echoes with its address, or speaks first;
// or there is an end.
const (
	echoed  = "at=ADDRESS"
	greeted = "220 ADDRESS"
	ended   = "closed"
)

// message is what a client sends at first on a connection to an address, and the
// results under ALLOW_ANY and REGISTRY_ONLY.
type message struct {
	name, port  string
	text        string
	half        bool // the client closes its side then
	allow, only string
	early       bool // before the timeout
}

func firstMessages() []message {
	long := strings.Repeat("a", 70_000)
	out := []message{
		{"a server that speaks first, undeclared", "9002", "", false, greeted, ended, true},
		{"a server that speaks first, declared alone", "9001", "", false, greeted, greeted, true},
		{"a server that speaks first, declared alone on a port of HTTP", "8085", "", false, greeted, greeted, true},
		{"a server that speaks first, undeclared on a port of HTTP", "8086", "", false, greeted, ended, true},
		{"a server that speaks first, on a port with an HTTP host", "9004", "", false, greeted, ended, false},
		{"STARTTLS", "9002", "EHLO x\r\n", false, greeted, ended, true},
		{"half-closed, without a byte", "9000", "", true, ended, ended, true},
		{"half-closed", "9000", "ruok", true, echoed + " ruok", ended, true},
		{"the PROXY protocol", "9000", "PROXY TCP4 192.0.2.1 10.96.0.77 1 80\r\n", false, "HTTP/1.1 400", ended, true},
		{"the PROXY protocol, version 2", "9000", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\x0a\x60\x00\x4d\x00\x01\x00\x50", false, echoed, ended, true},
		{"a long word", "9000", long, false, echoed, ended, true},
		{"a long line", "9000", "get /" + long + " HTTP/1.1\r\n\r\n", false, echoed, ended, true},
	}
	for _, port := range []string{"9000", "80", "443", "8080", "8081"} {
		for _, text := range []string{"\x00", "hi\n", "ruok", "hello", "hello there"} { // few bytes, or what may become a request
			out = append(out, message{fmt.Sprintf("%q", text), port, text, false, echoed, ended, port == "9000" || port == "8080"})
		}
		for _, text := range []string{"\x00\x01\r\n\r\n", "hello there\n", "\x00AMQP\x00\x00\x09\x01", "\x00\x00\x00\x08\x04\xd2\x16\x2f"} {
			out = append(out, message{fmt.Sprintf("%q", text), port, text, false, echoed, ended, true})
		}
	}
	return out
}

// talk sends a message, and returns what comes back and when.
func (m *mesh) talk(address string, c message) (string, time.Duration) {
	conn, err := m.dial(address, c.port)
	if err != nil {
		return err.Error(), 0
	}
	defer func() { _ = conn.Close() }()
	start := time.Now()
	_, _ = io.WriteString(conn, c.text)
	if c.half {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	_ = conn.SetReadDeadline(start.Add(detection + 10*time.Second))
	b := make([]byte, 100)
	n, err := io.ReadAtLeast(conn, b, min(len(echoed), len(b)))
	got := string(b[:n])
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		got += " and no more"
	case n == 0:
		got = ended
	}
	return strings.ReplaceAll(got, net.JoinHostPort(address, c.port), "ADDRESS"), time.Since(start)
}

func (m *mesh) dial(address, port string) (conn net.Conn, err error) {
	m.Do(func() { conn, err = net.DialTimeout("tcp", net.JoinHostPort(address, port), 5*time.Second) })
	return conn, err
}

// greet serves protocols in which the server speaks first.
func (m *mesh) greet(ports ...string) {
	for _, port := range ports {
		var l net.Listener
		var err error
		m.world.Do(func() { l, err = net.Listen("tcp", ":"+port) })
		kit.Must(m.t, err)
		m.t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer func() { _ = conn.Close() }()
					_, _ = fmt.Fprintf(conn, "220 %s\r\n", conn.LocalAddr())
					_, _ = io.Copy(conn, conn)
				}()
			}
		}()
	}
}

// TestFirstBytes has connections whose protocol shows late or never: the client sends
// few bytes or none, or the server speaks first.
func TestFirstBytes(t *testing.T) {
	m := newMesh(t, map[string]string{"late.test": "192.0.2.91"})
	m.greet("9001", "9002", "9004", "8085", "8086")
	entries := []func(*egress.Input){
		entryOf(t, "shop", "tcp", `{"hosts": ["tcp.test"], "addresses": ["198.51.100.0/24", "2001:db8::/32"], "resolution": "NONE", "ports": [
			{"number": 9001, "name": "a", "protocol": "TCP"}, {"number": 8085, "name": "b", "protocol": "TCP"}]}`),
		entryOf(t, "shop", "late", `{"hosts": ["late.test"], "resolution": "DNS", "ports": [{"number": 8081, "name": "http", "protocol": "HTTP"}, {"number": 9004, "name": "http2", "protocol": "HTTP"}]}`),
		entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "shop", "google", google),
	}
	for _, mode := range []string{"ALLOW_ANY", "REGISTRY_ONLY"} {
		model := modelOf(t, mode, append(entries, func(in *egress.Input) { in.Mesh = meshOf(t, mode, "protocolDetectionTimeout: "+detection.String()) })...)
		m.server.Publish(model)
		m.settled()
		var all sync.WaitGroup
		for _, address := range []string{addrOther, "2001:db8::7"} {
			for _, c := range firstMessages() {
				all.Go(func() { m.wantTalk(model.View("shop"), address, c) })
			}
		}
		all.Wait()
		blocked := "502"
		if mode == "ALLOW_ANY" {
			blocked = addrOther
		}
		m.wantTCP(mode, model.View("shop"), 8080, []tcpRequest{{decide.HTTP, "any.test", blocked}})
		m.wantTCP(mode, model.View("shop"), 8081, []tcpRequest{{decide.HTTP, "late.test", "192.0.2.91"}, {decide.HTTP, "any.test", blocked}})
		m.wantTCP(mode, model.View("shop"), 9000, []tcpRequest{{decide.HTTP, "any.test", strings.Replace(blocked, "502", ended, 1)}})
		m.slowClients(mode)
	}
}

// wantTalk compares a connection with what is wanted, and with the model.
func (m *mesh) wantTalk(v *egress.View, address string, c message) {
	want := c.allow
	if v.Mesh().RegistryOnly {
		want = c.only
	}
	got, took := m.talk(address, c)
	if !strings.HasPrefix(got, want) || c.early && took >= detection {
		m.t.Errorf("REGISTRY_ONLY %v, %s, port %s, %s: %.60q after %s, want %q", v.Mesh().RegistryOnly, address, c.port, c.name, got, took.Round(time.Millisecond), want)
	}
	to := netip.MustParseAddrPort(net.JoinHostPort(address, c.port))
	d := decide.Decide(v, decide.Request{Address: to.Addr(), Port: to.Port(), Protocol: decide.TCP})
	if (d.Kind == decide.Forwarded) != (want != ended) && !c.half {
		m.t.Errorf("port %s, %s: the model has %s, want %q", c.port, c.name, d.Kind, want)
	}
}

// slowClients send their handshake and their request a byte at a time: they are
// handled by name. One that is not finished in time is not TLS for the sidecar, and gets
// no farther than an undeclared connection.
func (m *mesh) slowClients(mode string) {
	get := func(scheme, host, port string, protocols *http.Protocols, c func(net.Conn) net.Conn) string {
		client := &http.Client{Timeout: detection + 10*time.Second, Transport: &http.Transport{
			DisableKeepAlives: true, Protocols: protocols, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				conn, err := m.dial(addrOther, port)
				return c(conn), err
			},
		}}
		resp, err := client.Get(scheme + "://" + host + "/")
		if err != nil {
			return ended
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		return string(body)
	}
	h2 := &http.Protocols{}
	h2.SetUnencryptedHTTP2(true)
	bytewise := func(c net.Conn) net.Conn { return &slowConn{Conn: c, bytes: 600} }
	paused := func(c net.Conn) net.Conn { return &slowConn{Conn: c, bytes: 10, pause: detection + time.Second} }
	late := ended
	if mode == "ALLOW_ANY" {
		late = "at=" + addrOther
	}
	var all sync.WaitGroup
	for _, c := range []struct {
		name, scheme, host, port string
		protocols                *http.Protocols
		slow                     func(net.Conn) net.Conn
		want                     string
	}{
		{"a handshake by bytes", "https", "www.google.com", "443", nil, bytewise, "at=" + addrGoogle},
		{"a request by bytes", "http", "httpbin.org", "80", nil, bytewise, "at=" + addrHTTPBin},
		{"an HTTP/2 preface by bytes", "http", "httpbin.org", "80", h2, bytewise, "at=" + addrHTTPBin},
		{"a late handshake", "https", "www.google.com", "443", nil, paused, late},
		{"a late handshake with an undeclared name", "https", "other.test", "443", nil, paused, late},
		{"a late request", "http", "other.test", "8081", nil, paused, late},
	} {
		all.Go(func() {
			if got := get(c.scheme, c.host, c.port, c.protocols, c.slow); !strings.HasPrefix(got, c.want) {
				m.t.Errorf("%s, %s: %q, want %q", mode, c.name, got, c.want)
			}
		})
	}
	all.Wait()
}

// slowConn writes its first bytes one by one, or pauses after them.
type slowConn struct {
	net.Conn
	bytes int
	pause time.Duration
}

func (c *slowConn) Write(b []byte) (n int, err error) {
	for c.bytes > 0 && n < len(b) && err == nil {
		_, err = c.Conn.Write(b[n : n+1])
		n, c.bytes = n+1, c.bytes-1
		if c.bytes == 0 {
			time.Sleep(c.pause)
		}
		time.Sleep(time.Millisecond)
	}
	if err == nil {
		var rest int
		rest, err = c.Conn.Write(b[n:])
		n += rest
	}
	return n, err
}
