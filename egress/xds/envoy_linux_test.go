package xds

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/envoy"
)

// The addresses of the world's hosts, and one that no name has.
const (
	addrHTTPBin, addrGoogle, addrWild = "192.0.2.10", "192.0.2.20", "192.0.2.30"
	addrOther                         = "198.51.100.99"
	addrService                       = "10.96.0.77"
)

// mesh is a control plane with one real sidecar in a pod.
type mesh struct {
	*pod
	t      testing.TB
	server *Server
	asked  *locked
	cert   tls.Certificate
	valid  atomic.Pointer[string] // the one token that is
	why    atomic.Pointer[string] // the last refusal of a stream
	poison atomic.Bool            // rejections are what is tried
	sent   atomic.Int64           // resources
	bytes  atomic.Int64           // of resources
	stop   func()                 // of the control plane
	// answer is the world's own answer where it gives one; it may be nil.
	answer func(http.ResponseWriter, *http.Request) bool
	names  map[string]string // what the name server knows
}

// newMesh starts all of it with the names of the walk, and more where they are
// given.
func newMesh(t testing.TB, more map[string]string, args ...string) *mesh {
	envoy.Require(t)
	m := &mesh{pod: newPod(t), t: t, names: map[string]string{
		"httpbin.org": addrHTTPBin, "www.google.com": addrGoogle, "a.example.com": addrWild,
	}}
	maps.Copy(m.names, more)
	m.asked = m.serveNames(t, m.names)
	m.valid.Store(new("shop-token"))
	var ca string
	m.cert, ca = selfSigned(t, []string{world4})
	m.serveControlPlane()
	m.serveWorld()
	m.run(t, ca, args...)
	return m
}

// serveControlPlane starts a control plane that has nothing published.
func (m *mesh) serveControlPlane() {
	m.server = New(AuthenticatorFunc(func(_ context.Context, token string) (Identity, error) {
		if token != *m.valid.Load() {
			return Identity{}, fmt.Errorf("%w: token has expired", ErrUnauthenticated)
		}
		return Identity{Namespace: "shop", ServiceAccount: "default", Pod: "sleep-7d4b-x2x"}, nil
	}), Observer{
		Refused: func(err error) { m.why.Store(new(err.Error())) },
		Rejected: func(r Rejection) {
			if !m.poison.Load() {
				m.t.Errorf("the sidecar rejected %v: %s", r.Resources, r.Reason)
			}
		},
		Sent: func(_ string, n, bytes int) { m.sent.Add(int64(n)); m.bytes.Add(int64(bytes)) },
	})
	var l net.Listener
	var err error
	m.world.Do(func() { l, err = net.Listen("tcp", world4+":15012") })
	must(m.t, err)
	g := m.server.GRPC(&tls.Config{Certificates: []tls.Certificate{m.cert}})
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(l) }()
	m.stop = sync.OnceFunc(func() { g.Stop(); <-done })
	m.t.Cleanup(m.stop)
}

// setName changes what the name server says.
func (m *mesh) setName(name, address string) {
	m.naming.Lock()
	defer m.naming.Unlock()
	m.names[name] = address
}

// setTTL changes for how many seconds an answer may be kept; a sidecar keeps it
// for 5 at least.
func (m *mesh) setTTL(seconds uint32) {
	m.naming.Lock()
	defer m.naming.Unlock()
	m.ttl = seconds
}

// worldPorts are those that the world answers on, at every address.
var worldPorts = []string{"80", "443", "8080", "8081", "9000"}

// serveWorld answers HTTP, with TLS and without: with the address and the port
// that were reached, and what came.
func (m *mesh) serveWorld() {
	cert, _ := selfSigned(m.t, nil, "world")
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/delay" {
			select {
			case <-time.After(2 * time.Second):
			case <-r.Context().Done():
			}
		}
		if m.answer != nil && m.answer(w, r) {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		local, port, _ := net.SplitHostPort(r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
		fmt.Fprintf(w, "at=%s operation=%s port=%s host=%s path=%s", local, r.Header.Get("X-Envoy-Decorator-Operation"), port, r.Host, r.RequestURI)
	})
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	for _, port := range worldPorts {
		var l net.Listener
		var err error
		m.world.Do(func() { l, err = net.Listen("tcp", ":"+port) })
		must(m.t, err)
		s := &http.Server{Handler: handler, Protocols: protocols, ErrorLog: log.New(io.Discard, "", 0)}
		go func() { _ = s.Serve(&either{l, &tls.Config{Certificates: []tls.Certificate{cert}}}) }()
		m.t.Cleanup(func() { _ = s.Close() })
	}
}

// either accepts connections with TLS and without.
type either struct {
	net.Listener
	config *tls.Config
}

func (l *either) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &eitherConn{Conn: conn, config: l.config}, nil
}

// eitherConn finds out at the first read what the client speaks.
type eitherConn struct {
	net.Conn
	config *tls.Config
	known  net.Conn
}

func (c *eitherConn) Read(b []byte) (int, error) {
	if c.known == nil {
		buffered := bufio.NewReader(c.Conn)
		first, err := buffered.Peek(1)
		if err != nil {
			return 0, err
		}
		c.known = &readConn{c.Conn, buffered}
		if first[0] == 0x16 { // a handshake
			c.known = tls.Server(c.known, c.config)
		}
	}
	return c.known.Read(b)
}

func (c *eitherConn) Write(b []byte) (int, error) {
	if c.known == nil {
		return c.Conn.Write(b)
	}
	return c.known.Write(b)
}

type readConn struct {
	net.Conn
	from io.Reader
}

func (c *readConn) Read(b []byte) (int, error) { return c.from.Read(b) }

// get asks a host at an address, as the application does. The answer is the
// status and the body, or "closed".
func (m *mesh) get(scheme, host, address, path string) string {
	port := map[string]string{"http": "80", "https": "443"}[scheme]
	if name, p, ok := strings.Cut(host, ":"); ok {
		_, port = name, p
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
			m.Do(func() { conn, err = (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(address, port)) })
			return conn, err
		},
	}}
	resp, err := client.Get(scheme + "://" + host + path)
	if err != nil {
		return "closed"
	}
	defer resp.Body.Close()
	body := make([]byte, 500)
	n, _ := resp.Body.Read(body)
	return fmt.Sprintf("%d %s", resp.StatusCode, body[:n])
}

func (m *mesh) want(scheme, host, address, path, want string) {
	m.t.Helper()
	if got := m.get(scheme, host, address, path); !strings.HasPrefix(got, want) {
		m.t.Errorf("%s://%s%s at %s: %q, want %q", scheme, host, path, address, got, want)
	}
}

// publish waits until a change has its effect, which it is known by.
func (m *mesh) publish(model *egress.Model, scheme, host, address, want string) {
	m.t.Helper()
	m.server.Publish(model)
	took := eventually(m.t, scheme+"://"+host+" gives "+want, func() bool {
		return strings.HasPrefix(m.get(scheme, host, address, "/"), want)
	})
	m.t.Logf("%s://%s gives %q %s after the change", scheme, host, want, took.Round(time.Millisecond))
}

// logged waits for a line of the access log that has all parts.
func (m *mesh) logged(parts ...string) {
	m.t.Helper()
	eventually(m.t, fmt.Sprintf("a line with %q", parts), func() bool {
	lines:
		for line := range strings.Lines(m.log.String()) {
			for _, part := range parts {
				if !strings.Contains(line, part) {
					continue lines
				}
			}
			return true
		}
		return false
	})
}

// TestWalk is the walk that users take, with a real sidecar.
func TestWalk(t *testing.T) {
	m := newMesh(t, nil)
	inCluster := func(in *egress.Input) {
		in.InCluster = []egress.InClusterAddress{{Address: netip.MustParseAddr(addrService), Ports: []uint16{80, 443}}}
	}
	bin, goog := entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "shop", "google", google)

	m.publish(modelOf(t, "ALLOW_ANY", inCluster), "http", "example.org", addrOther, "200")
	m.want("https", "www.google.com", addrOther, "/", "200 at="+addrOther)
	m.want("http", "example.org:8080", addrOther, "/", "200 at="+addrOther)
	m.want("http", "example.org", "2001:db8::7", "/", "200 at=2001:db8::7")
	m.logged(`"GET / HTTP/1.1" 200`, `"example.org"`, "PassthroughCluster", addrOther+":80", "allow_any")
	m.logged(`"- - -" 0`, "PassthroughCluster", addrOther+":443")

	m.publish(modelOf(t, "REGISTRY_ONLY", inCluster), "http", "example.org", addrOther, "502")
	m.want("https", "www.google.com", addrOther, "/", "closed")
	m.want("http", "example.org:8080", addrOther, "/", "502")
	m.want("http", "example.org", "2001:db8::7", "/", "502")
	m.want("http", "any", addrService, "/", "200 at="+addrService)
	m.want("https", "any", addrService, "/", "200 at="+addrService)
	m.want("http", "any:8080", addrService, "/", "502") // not a port of the Service
	m.logged(`"GET / HTTP/1.1" 502`, "direct_response", "block_all")
	m.logged("UH", "BlackHoleCluster", addrOther+":443")

	m.publish(modelOf(t, "REGISTRY_ONLY", inCluster, bin, goog), "http", "httpbin.org", addrHTTPBin, "200")
	// Whatever address was dialled, the name decides.
	m.want("http", "HTTPBIN.org", addrOther, "/", "200 at="+addrHTTPBin+" operation=httpbin.org:80/*")
	m.want("http", "httpbin.org", addrOther, "/", "200 at="+addrHTTPBin+" operation=httpbin.org:80/*")
	m.want("https", "www.google.com", addrOther, "/", "200 at="+addrGoogle)
	m.want("https", "edition.cnn.com", addrGoogle, "/", "closed")
	m.want("http", "www.google.com", addrGoogle, "/", "502")
	for _, host := range []string{"httpbin.org", "HTTPBIN.org", "httpbin.org:80", "HttpBin.org:8080"} { // one host, one cluster
		if got := m.fetch("GET", host, "/", nil); !strings.HasPrefix(got, "at="+addrHTTPBin) || !strings.Contains(got, "host="+host+" ") {
			t.Errorf("Host %s: %q", host, got)
		}
		m.logged(`"`+host+`"`, " outbound|80||httpbin.org ", addrHTTPBin+":80", "default")
	}
	m.logged("outbound|443||www.google.com", addrGoogle+":443", "www.google.com -")
	if asked := m.asked.String(); strings.Contains(asked, "cluster.local") || strings.Contains(asked, "cnn") {
		t.Errorf("names were asked for:\n%s", asked)
	}

	m.want("http", "httpbin.org", addrHTTPBin, "/delay", "200")
	m.server.Publish(modelOf(t, "REGISTRY_ONLY", inCluster, bin, goog, routeOf(t, "shop", "httpbin", timeout), entryOf(t, "shop", "wild", wild)))
	eventually(t, "the timeout holds", func() bool { return strings.HasPrefix(m.get("http", "httpbin.org", addrHTTPBin, "/delay"), "504") })
	m.logged(" 504 UT ", "outbound|80||httpbin.org")
	m.want("http", "a.example.com", addrOther, "/", "200 at="+addrWild)
	m.want("https", "a.example.com", addrOther, "/", "200 at="+addrWild)
	m.want("http", "example.com", addrWild, "/", "502")
	m.logged("outbound|80||*.example.com")
	m.logged("outbound|443||*.example.com")

	m.publish(modelOf(t, "REGISTRY_ONLY", inCluster, goog), "http", "httpbin.org", addrHTTPBin, "502")
	m.publish(modelOf(t, "REGISTRY_ONLY", inCluster, goog, bin), "http", "httpbin.org", addrHTTPBin, "200")
	m.publish(modelOf(t, "REGISTRY_ONLY", inCluster, bin), "https", "www.google.com", addrGoogle, "closed")
	m.publish(modelOf(t, "ALLOW_ANY", inCluster), "https", "www.google.com", addrOther, "200 at="+addrOther)
	m.want("http", "httpbin.org", addrOther, "/", "200 at="+addrOther)
	if n := len(m.server.Status()); n != 1 {
		t.Errorf("%d streams, want 1", n)
	}
	for _, complaint := range []string{"deprecated", "[error]", "[critical]"} {
		if strings.Contains(m.log.String(), complaint) {
			t.Errorf("the sidecar's log has %q", complaint)
		}
	}
}

// kept is one connection of the application that it keeps.
type kept struct {
	what, scheme, host, address string
	client                      *http.Client
	dialled                     atomic.Int64
}

func (m *mesh) keep(what, scheme, host, address, port string) *kept {
	k := &kept{what: what, scheme: scheme, host: host, address: address}
	k.client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		MaxConnsPerHost: 1, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
			k.dialled.Add(1)
			m.Do(func() { conn, err = (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(address, port)) })
			return conn, err
		},
	}}
	m.t.Cleanup(k.client.CloseIdleConnections)
	return k
}

func (k *kept) status() int {
	resp, err := k.client.Get(k.scheme + "://" + k.host + "/")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// TestOpenConnections holds what the applications have open against changes:
// what does not concern them leaves them alone, also after the time of a drain,
// and what concerns them holds for them too.
func TestOpenConnections(t *testing.T) {
	m := newMesh(t, nil, "--drain-time-s", "1", "--drain-strategy", "immediate")
	bin, goog := entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "shop", "google", google)
	service := func(addresses ...string) func(*egress.Input) {
		return func(in *egress.Input) {
			for _, a := range addresses {
				in.InCluster = append(in.InCluster, egress.InClusterAddress{Address: netip.MustParseAddr(a), Ports: []uint16{80}})
			}
		}
	}
	m.publish(modelOf(t, "ALLOW_ANY"), "http", "example.org", addrOther, "200")
	blocked := m.keep("TLS", "https", "example.org", addrOther, "443")
	if got := blocked.status(); got != 200 {
		t.Errorf("with ALLOW_ANY: status %d", got)
	}
	m.publish(modelOf(t, "REGISTRY_ONLY", service(addrService), bin, goog), "http", "example.org", addrOther, "502")
	took := eventually(t, "a connection that is not allowed any more ends", func() bool { return blocked.status() == 0 })
	t.Logf("a connection that is not allowed any more ends after %s, with a drain time of 1 s", took.Round(time.Millisecond))
	open := []*kept{
		m.keep("HTTP", "http", "httpbin.org", addrHTTPBin, "80"),
		m.keep("TLS", "https", "www.google.com", addrGoogle, "443"),
		m.keep("in-cluster", "http", "service", addrService, "80"),
	}
	hold := func(after string) {
		t.Helper()
		for _, k := range open {
			if got := k.status(); got != 200 || k.dialled.Load() != 1 {
				t.Errorf("%s after %s: status %d, connection %d", k.what, after, got, k.dialled.Load())
			}
		}
	}
	hold("the start")
	m.publish(modelOf(t, "REGISTRY_ONLY", service(addrService, "10.96.0.78"), bin, goog, many(t, 20), entryOf(t, "shop", "wild", wild)),
		"http", "a.example.com", addrOther, "200")
	m.want("http", "any", "10.96.0.78", "/", "200")
	time.Sleep(2500 * time.Millisecond) // longer than the drain
	hold("entries and a Service were added")
	m.publish(modelOf(t, "REGISTRY_ONLY", service(addrService), bin, goog), "http", "a.example.com", addrOther, "502")
	time.Sleep(2500 * time.Millisecond)
	hold("entries and a Service were removed")

	m.stop() // a control plane that is away, and comes back with the same world
	hold("the control plane went away")
	m.want("http", "httpbin.org", addrOther, "/", "200")
	m.serveControlPlane()
	m.sent.Store(0)
	m.server.Publish(modelOf(t, "REGISTRY_ONLY", service(addrService), bin, goog))
	took = eventually(t, "the sidecar connects again", func() bool { return len(m.server.Status()) == 1 && len(m.server.Status()[0].Sent) == 3 })
	t.Logf("connected again %s after the control plane was back", took.Round(time.Millisecond))
	hold("the control plane came back")
	if n := m.sent.Load(); n != 0 {
		t.Errorf("%d resources were sent again", n)
	}

	m.server.Publish(modelOf(t, "REGISTRY_ONLY", service(addrService), goog))
	took = eventually(t, "a deleted host is refused on an open connection", func() bool { return open[0].status() == 502 })
	t.Logf("a deleted host is refused on an open connection after %s", took.Round(time.Millisecond))
	if open[0].dialled.Load() != 1 {
		t.Errorf("the connection was %d", open[0].dialled.Load())
	}
}
