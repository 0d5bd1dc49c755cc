//go:build linux

package world

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/test/kit/netns"
)

// client reaches the internet from a thread in its namespace.
type client struct {
	ns   *netns.NS
	pool *x509.CertPool
	log  *syncBuffer
	stop func() // ends the internet, without waiting for it
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func start(t *testing.T) client {
	t.Helper()
	netns.Need(t, "ip")
	ns := netns.New(t)
	ns.Must(t, "", "ip", "link", "set", "lo", "up")
	ns.Must(t, "", "ip", "route", "add", "local", Prefixes[0].String(), "dev", "lo")
	ns.Must(t, "", "ip", "-6", "route", "add", "local", Prefixes[1].String(), "dev", "lo")
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := client{ns.Join(t), x509.NewCertPool(), new(syncBuffer), cancel}
	c.pool.AppendCertsFromPEM(ca.PEM())

	ready, ended := make(chan struct{}), make(chan error, 1)
	go ns.Do(func() { ended <- Serve(ctx, ca, c.log, func() { close(ready) }) })
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c client) dial(network, address string) (conn net.Conn, err error) {
	c.ns.Do(func() { conn, err = net.DialTimeout(network, address, 5*time.Second) })
	return conn, err
}

// http sends requests to one address, whatever host they name.
func (c client) http(t *testing.T, to netip.Addr) *http.Client {
	transport := &http.Transport{
		ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: c.pool},
		DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return c.dial("tcp", net.JoinHostPort(to.String(), port))
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// A server that is stopped answers what it has begun.
func TestDrain(t *testing.T) {
	c := start(t)
	h, _ := Lookup("httpbin.org")
	go func() {
		time.Sleep(100 * time.Millisecond) // the request is on its way by then
		c.stop()
	}()
	resp, err := c.http(t, h.IPv4).Get("http://httpbin.org/delay/0.4")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !resp.Close {
		t.Errorf("%s, closes the connection: %v; want 200 and true", resp.Status, resp.Close)
	}
}

func TestSites(t *testing.T) {
	c := start(t)
	for _, r := range []struct {
		method, url, body string
		code              int
		proto, want       string
	}{
		{"GET", "http://httpbin.org/status/503", "", 503, "HTTP/1.1", ""},
		{"GET", "http://httpbin.org/status/99", "", 400, "HTTP/1.1", "Invalid"},
		{"GET", "http://httpbin.org/headers", "", 200, "HTTP/1.1", `"X-Test": "a,b"`},
		{"POST", "http://httpbin.org/anything?q=1", "hello", 200, "HTTP/1.1", `"data": "hello"`},
		{"GET", "http://httpbin.org/delay/0.05", "", 200, "HTTP/1.1", `"url": "http://httpbin.org/delay/0.05"`},
		{"GET", "http://httpbin.org/delay/-1", "", 404, "HTTP/1.1", ""},
		{"GET", "http://httpbin.org/delay/NaN", "", 404, "HTTP/1.1", ""},
		{"GET", "http://httpbin.org/ip", "", 200, "HTTP/1.1", `"origin": "`},
		{"GET", "http://www.google.com" + CAPath, "", 200, "HTTP/1.1", "BEGIN CERTIFICATE"},
		{"GET", "http://httpbin.org/nothing", "", 404, "HTTP/1.1", ""},
		{"GET", "https://httpbin.org/get", "", 200, "HTTP/2.0", `"url": "https://httpbin.org/get"`},
		{"GET", "http://httpbin.shop.svc.cluster.local/get", "", 200, "HTTP/1.1", "args"},
		{"HEAD", "https://www.google.com/", "", 200, "HTTP/2.0", ""},
		{"GET", "https://de.wikipedia.org/wiki/X", "", 200, "HTTP/2.0", "de.wikipedia.org"},
		{"GET", "http://edition.cnn.com/politics", "", 301, "HTTP/1.1", "https://edition.cnn.com/politics"},
		{"GET", "http://mirror.example.com:8080/", "", 200, "HTTP/1.1", "mirror.example.com"},
		{"GET", "https://api.example.com:8443/", "", 200, "HTTP/2.0", "api.example.com"},
		{"GET", "http://elsewhere.test/", "", 404, "HTTP/1.1", "elsewhere.test"},
	} {
		for _, to := range []netip.Addr{names[0].IPv4, names[0].IPv6} {
			req, err := http.NewRequestWithContext(t.Context(), r.method, r.url, strings.NewReader(r.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header["X-Test"] = []string{"a", "b"}
			resp, err := c.http(t, to).Do(req)
			if err != nil {
				t.Errorf("%s %s at %s: %v", r.method, r.url, to, err)
				continue
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != r.code || resp.Proto != r.proto || !strings.Contains(string(body), r.want) {
				t.Errorf("%s %s at %s: %s %d %q, error %v; want %s %d and %q", r.method, r.url, to, resp.Proto, resp.StatusCode, body, err, r.proto, r.code, r.want)
			}
		}
	}
	if want := "to=203.0.113.10:80 host=httpbin.org method=GET path=/status/503 status=503"; !strings.Contains(c.log.String(), want) {
		t.Errorf("the log has no %q:\n%s", want, c.log)
	}
}

func TestUnknownSiteHasNoTLS(t *testing.T) {
	c := start(t)
	for _, name := range []string{"elsewhere.test", "*.wikipedia.org", "a.b.wikipedia.org", ""} {
		conn, err := c.dial("tcp", net.JoinHostPort(names[0].IPv4.String(), "443"))
		if err != nil {
			t.Fatal(err)
		}
		err = tls.Client(conn, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake()
		_ = conn.Close()
		if err == nil {
			t.Errorf("TLS for %q: a connection, want none", name)
		}
	}
}

func TestNameServer(t *testing.T) {
	c := start(t)
	for _, network := range []string{"udp", "tcp"} {
		r := net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			return c.dial(network, net.JoinHostPort(names[0].IPv4.String(), "53"))
		}}
		for name, want := range map[string]string{
			"httpbin.org.":          "203.0.113.10 2001:db8:113::a",
			"WWW.Google.com.":       "203.0.113.20 2001:db8:113::14",
			"fr.wikipedia.org.":     "203.0.113.40 2001:db8:113::28",
			"tcp-echo.example.com.": "203.0.113.60 2001:db8:113::3c",
			"b.cdn.example.":        "203.0.113.80 2001:db8:113::50",
			"x.example.com.":        "203.0.113.50 2001:db8:113::32",
			"wikipedia.org.":        "",
			"a.b.wikipedia.org.":    "",
			"example.org.":          "",
		} {
			found, err := r.LookupNetIP(t.Context(), "ip", name)
			var got []string
			for _, a := range found {
				got = append(got, a.Unmap().String())
			}
			slices.Sort(got)
			wanted := strings.Fields(want)
			slices.Sort(wanted)
			var dnsErr *net.DNSError
			if !slices.Equal(got, wanted) || want == "" && (!errors.As(err, &dnsErr) || !dnsErr.IsNotFound) {
				t.Errorf("%s over %s: %v, error %v; want %q", name, network, got, err, want)
			}
		}
	}
}

func TestPlainTCP(t *testing.T) {
	c := start(t)
	for _, s := range []struct{ port, say, want string }{
		{"9000", "world\n", "hello world\n"},
		{"9001", "", Banner},
		{"9001", "again", Banner + "again"},
	} {
		conn, err := c.dial("tcp", net.JoinHostPort(names[0].IPv6.String(), s.port))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.WriteString(conn, s.say); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(s.want))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != s.want {
			t.Errorf("port %s after %q: %q, error %v; want %q", s.port, s.say, got, err, s.want)
		}
		_ = conn.Close()
	}
}

// The name server reads bytes from outside.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07httpbin\x03org\x00\x00\x01\x00\x01"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, query []byte) {
		reply, err := Answer(query)
		if err == nil && (len(reply) < 12 || !bytes.Equal(reply[:2], query[:2]) || reply[2]&0x80 == 0) {
			t.Errorf("answer to %x: %x, want a reply with its id", query, reply)
		}
	})
}
