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
	"github.com/outrider-mesh/outrider/test/kit"
)

// The addresses of the external hosts, and one without a name.
const (
	addrHTTPBin, addrGoogle, addrWild = "192.0.2.10", "192.0.2.20", "192.0.2.30"
	addrOther                         = "198.51.100.99"
	addrService                       = "10.96.0.77"
)

// mesh is a control plane with one real sidecar in a pod.
type mesh struct {
	*pod
	t               testing.TB
	server          *Server
	queries         *kit.Buffer // DNS
	cert            tls.Certificate
	valid           atomic.Pointer[string] // the only valid token
	rejectedBecause atomic.Pointer[string] // why the last stream was rejected
	expectNACK      atomic.Bool            // the test provokes NACKs
	sent            atomic.Int64           // resources
	bytes           atomic.Int64           // of resources
	stop            func()                 // stops the control plane
	reported        *reported              // of all control planes of the test
	// answer answers a request at an external host; nil or false: the default answer.
	answer func(http.ResponseWriter, *http.Request) bool
	names  map[string]string // of the name server
	// clients are those of a benchmark.
	clients []*kept
}

// newMesh starts all of it, with the names of the walkthrough and more.
func newMesh(t testing.TB, more map[string]string, args ...string) *mesh {
	return newMeshWith(t, countsEvery("240s"), more, args...) // none while a test runs
}

// newMeshWith is newMesh with another bootstrap; nil: that of the injector.
func newMeshWith(t testing.TB, edit func(string) string, more map[string]string, args ...string) *mesh {
	envoy.Require(t)
	m := &mesh{pod: newPod(t), t: t, names: map[string]string{
		"httpbin.org": addrHTTPBin, "www.google.com": addrGoogle, "a.example.com": addrWild,
	}}
	maps.Copy(m.names, more)
	m.edit = edit
	m.queries = m.serveNames(t, m.names)
	m.valid.Store(new("shop-token"))
	m.reported = newReported()
	var ca string
	m.cert, ca = selfSigned(t, []string{world4})
	m.serveControlPlane()
	m.serveWorld()
	m.run(t, ca, args...)
	return m
}

// serveControlPlane starts a control plane that has not published anything yet.
func (m *mesh) serveControlPlane() {
	m.server = New(AuthenticatorFunc(func(_ context.Context, token string) (Identity, error) {
		if token != *m.valid.Load() {
			return Identity{}, fmt.Errorf("%w: token has expired", ErrUnauthenticated)
		}
		return Identity{Namespace: "shop", ServiceAccount: "default", Pod: "sleep-7d4b-x2x"}, nil
	}), Observer{
		StreamRejected: func(err error) { m.rejectedBecause.Store(new(err.Error())) },
		Rejected: func(r Rejection) {
			if !m.expectNACK.Load() {
				m.t.Errorf("the sidecar rejected %v: %s", r.Resources, r.Reason)
			}
		},
		Sent: func(_ string, n, bytes int) { m.sent.Add(int64(n)); m.bytes.Add(int64(bytes)) },
	}, Limits{})
	m.server.ReceiveReports(m.reported)
	m.server.SetLabels(podLabels{"app": "web"})
	var l net.Listener
	var err error
	m.world.Do(func() { l, err = net.Listen("tcp", world4+":15012") })
	kit.Must(m.t, err)
	g := m.server.GRPC(&tls.Config{Certificates: []tls.Certificate{m.cert}})
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(l) }()
	m.stop = sync.OnceFunc(func() { g.Stop(); <-done })
	m.t.Cleanup(m.stop)
}

// podLabels are the labels of all pods.
type podLabels map[string]string

func (l podLabels) Known(_, _, _ string) (labels map[string]string, large, known bool) {
	return l, false, true
}

func (l podLabels) Read(context.Context, string, string, string) (bool, error) { return true, nil }

// setName changes a name's address in the name server.
func (m *mesh) setName(name, address string) {
	m.naming.Lock()
	defer m.naming.Unlock()
	m.names[name] = address
}

// setTTL changes the TTL of DNS answers, in seconds; a sidecar keeps them for at
// least 5.
func (m *mesh) setTTL(seconds uint32) {
	m.naming.Lock()
	defer m.naming.Unlock()
	m.ttl = seconds
}

// worldPorts are the ports on which every external address answers.
var worldPorts = []string{"80", "443", "8080", "8081", "9000"}

// serveWorld answers HTTP, with TLS and without. The body has the address and port
// that were reached, and the request's Host and path.
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
		kit.Must(m.t, err)
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

// eitherConn detects TLS at the first read.
type eitherConn struct {
	net.Conn
	config   *tls.Config
	detected net.Conn
}

func (c *eitherConn) Read(b []byte) (int, error) {
	if c.detected == nil {
		buffered := bufio.NewReader(c.Conn)
		first, err := buffered.Peek(1)
		if err != nil {
			return 0, err
		}
		c.detected = &readConn{c.Conn, buffered}
		switch {
		case first[0] == 0x16: // a TLS handshake
			c.detected = tls.Server(c.detected, c.config)
		case first[0] < 'A' || first[0] > 'Z': // no method of HTTP
			fmt.Fprintf(c.Conn, "at=%s ", c.LocalAddr())
			_, _ = io.Copy(c.Conn, buffered)
			return 0, io.EOF
		}
	}
	return c.detected.Read(b)
}

func (c *eitherConn) Write(b []byte) (int, error) {
	if c.detected == nil {
		return c.Conn.Write(b)
	}
	return c.detected.Write(b)
}

type readConn struct {
	net.Conn
	from io.Reader
}

func (c *readConn) Read(b []byte) (int, error) { return c.from.Read(b) }

// get sends a request to a host at an address, as the application does. It returns
// the status and the body, or "closed".
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

// publish publishes a model and waits until it is effective: until the request has
// the wanted answer.
func (m *mesh) publish(model *egress.Model, scheme, host, address, want string) {
	m.t.Helper()
	m.server.Publish(model)
	m.becomes(scheme, host, address, want)
}

// becomes waits until a request has the wanted answer. Envoy applies a response listener
// by listener, so that one port may follow another.
func (m *mesh) becomes(scheme, host, address, want string) {
	m.t.Helper()
	took := kit.EventuallyTrue(m.t, scheme+"://"+host+" answers "+want, func() bool {
		return strings.HasPrefix(m.get(scheme, host, address, "/"), want)
	})
	m.t.Logf("%s://%s answers %q %s after the change", scheme, host, want, took.Round(time.Millisecond))
}

// logged waits for a line of the access log that contains all parts.
func (m *mesh) logged(parts ...string) {
	m.t.Helper()
	kit.EventuallyTrue(m.t, fmt.Sprintf("a line with %q", parts), func() bool {
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

// TestWalkthrough is the walkthrough of the documentation, with a real sidecar.
func TestWalkthrough(t *testing.T) {
	m := newMesh(t, nil)
	inCluster := func(in *egress.Input) {
		in.InCluster = []egress.InClusterAddress{{Address: netip.MustParseAddr(addrService), Ports: []uint16{80, 443}}}
	}
	bin, goog := entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "shop", "google", google)

	m.publish(modelOf(t, "ALLOW_ANY", inCluster), "http", "example.org", addrOther, "200")
	m.becomes("https", "www.google.com", addrOther, "200 at="+addrOther)
	m.want("http", "example.org:8080", addrOther, "/", "200 at="+addrOther)
	m.want("http", "example.org", "2001:db8::7", "/", "200 at=2001:db8::7")
	m.logged(`"GET / HTTP/1.1" 200`, `"example.org"`, "PassthroughCluster", addrOther+":80", "allow_any")
	m.logged(`"- - -" 0`, "PassthroughCluster", addrOther+":443")

	m.publish(modelOf(t, "REGISTRY_ONLY", inCluster), "http", "example.org", addrOther, "502")
	m.becomes("https", "www.google.com", addrOther, "closed")
	m.want("http", "example.org:8080", addrOther, "/", "502")
	m.want("http", "example.org", "2001:db8::7", "/", "502")
	m.want("http", "any", addrService, "/", "200 at="+addrService)
	m.want("https", "any", addrService, "/", "200 at="+addrService)
	m.want("http", "any:8080", addrService, "/", "502") // not a port of the Service
	m.logged(`"GET / HTTP/1.1" 502`, "direct_response", "block_all")
	m.logged("UH", "BlackHoleCluster", addrOther+":443")

	m.publish(modelOf(t, "REGISTRY_ONLY", inCluster, bin, goog), "http", "httpbin.org", addrHTTPBin, "200")
	m.becomes("https", "www.google.com", addrOther, "200 at="+addrGoogle)
	// The name decides, whatever the original destination.
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
	if queries := m.queries.String(); strings.Contains(queries, "cluster.local") || strings.Contains(queries, "cnn") {
		t.Errorf("unexpected DNS queries:\n%s", queries)
	}

	m.want("http", "httpbin.org", addrHTTPBin, "/delay", "200")
	m.server.Publish(modelOf(t, "REGISTRY_ONLY", inCluster, bin, goog, routeOf(t, "shop", "httpbin", timeout), entryOf(t, "shop", "wild", wild)))
	kit.EventuallyTrue(t, "the timeout is applied", func() bool { return strings.HasPrefix(m.get("http", "httpbin.org", addrHTTPBin, "/delay"), "504") })
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
	m.becomes("http", "httpbin.org", addrOther, "200 at="+addrOther)
	if n := len(m.server.Status()); n != 1 {
		t.Errorf("%d streams, want 1", n)
	}
	for _, text := range []string{"deprecated", "[error]", "[critical]"} {
		if strings.Contains(m.log.String(), text) {
			t.Errorf("the sidecar's log has %q", text)
		}
	}
}

// kept is one keep-alive connection of the application.
type kept struct {
	what, scheme, host, address string
	client                      *http.Client
	connections                 atomic.Int64
}

func (m *mesh) keep(what, scheme, host, address, port string) *kept {
	k := &kept{what: what, scheme: scheme, host: host, address: address}
	k.client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		MaxConnsPerHost: 1, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
			k.connections.Add(1)
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

// TestOpenConnections checks the applications' open connections over changes:
// unrelated changes do not close them, also after the drain time, and related
// changes apply to them.
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
	took := kit.EventuallyTrue(t, "a connection that is no longer allowed is closed", func() bool { return blocked.status() == 0 })
	t.Logf("a connection that is no longer allowed is closed after %s, with a drain time of 1 s", took.Round(time.Millisecond))
	open := []*kept{
		m.keep("HTTP", "http", "httpbin.org", addrHTTPBin, "80"),
		m.keep("TLS", "https", "www.google.com", addrGoogle, "443"),
		m.keep("in-cluster", "http", "service", addrService, "80"),
	}
	hold := func(after string) {
		t.Helper()
		for _, k := range open {
			if got := k.status(); got != 200 || k.connections.Load() != 1 {
				t.Errorf("%s after %s: status %d, %d connections", k.what, after, got, k.connections.Load())
			}
		}
	}
	hold("the start")
	m.publish(modelOf(t, "REGISTRY_ONLY", service(addrService, "10.96.0.78"), bin, goog, many(t, 20), entryOf(t, "shop", "wild", wild)),
		"http", "a.example.com", addrOther, "200")
	m.want("http", "any", "10.96.0.78", "/", "200")
	time.Sleep(2500 * time.Millisecond) // longer than the drain time
	hold("entries and a Service were added")
	m.publish(modelOf(t, "REGISTRY_ONLY", service(addrService), bin, goog), "http", "a.example.com", addrOther, "502")
	time.Sleep(2500 * time.Millisecond)
	hold("entries and a Service were removed")

	m.stop() // the control plane restarts with the same objects
	hold("the control plane stopped")
	m.want("http", "httpbin.org", addrOther, "/", "200")
	m.serveControlPlane()
	m.sent.Store(0)
	m.server.Publish(modelOf(t, "REGISTRY_ONLY", service(addrService), bin, goog))
	took = kit.EventuallyTrue(t, "the sidecar reconnects", func() bool { return len(m.server.Status()) == 1 && len(m.server.Status()[0].Sent) == 4 })
	t.Logf("reconnected %s after the control plane restarted", took.Round(time.Millisecond))
	hold("the control plane restarted")
	if n := m.sent.Load(); n != 0 {
		t.Errorf("%d resources were sent again", n)
	}

	m.server.Publish(modelOf(t, "REGISTRY_ONLY", service(addrService), goog))
	took = kit.EventuallyTrue(t, "a deleted host is rejected on an open connection", func() bool { return open[0].status() == 502 })
	t.Logf("a deleted host is rejected on an open connection after %s", took.Round(time.Millisecond))
	if open[0].connections.Load() != 1 {
		t.Errorf("%d connections, want 1", open[0].connections.Load())
	}
}
