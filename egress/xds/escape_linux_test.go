package xds

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/test/kit"
)

// forbidden are names that resolve to addresses that no declared host may be
// connected to.
var forbidden = map[string]string{
	"loop.test": "127.0.0.1", "loop2.test": "127.1.2.3", "zero.test": "0.0.0.0", "metadata.test": "169.254.169.254",
	"loop6.test": "::1", "link6.test": "fe80::1", "mapped.test": "::ffff:127.0.0.1", "under.wild.test": "127.0.0.1", "meta.wild.test": "169.254.169.254",
}

// bypassTest is a real sidecar with hosts of which some resolve to forbidden
// addresses.
type bypassTest struct {
	*mesh
	came    received    // outside of the pod
	reached *kit.Buffer // at the pod's own addresses: nothing may
}

func newBypassTest(t *testing.T) *bypassTest {
	names := map[string]string{"good.test": "192.0.2.51", "any.wild.test": "192.0.2.53", "several-a.test": "192.0.2.52"}
	maps.Copy(names, forbidden)
	m := &bypassTest{mesh: newMesh(t, names)}
	m.setTTL(1)
	m.answer = func(_ http.ResponseWriter, r *http.Request) bool { m.came.add(r); return false }
	m.reached = m.listenInside()
	m.publish(modelOf(t, "REGISTRY_ONLY", bypassEntries(t)...), "http", "good.test", addrOther, "200 at=192.0.2.51")
	return m
}

func bypassEntries(t *testing.T) []func(*egress.Input) {
	entry := func(name, spec string) func(*egress.Input) { return entryOf(t, "shop", name, spec) }
	const web = `"ports": [{"number": 80, "name": "http", "protocol": "HTTP"}, {"number": 443, "name": "tls", "protocol": "TLS"}, {"number": 15020, "name": "admin", "protocol": "HTTP"`
	const toAdmin = web + `, "targetPort": 15000}]`
	var hosts []string
	for name := range forbidden {
		if !strings.Contains(name, "wild") {
			hosts = append(hosts, fmt.Sprintf("%q", name))
		}
	}
	return []func(*egress.Input){
		entry("evil", `{"hosts": [`+strings.Join(hosts, ", ")+`], `+toAdmin+`, "resolution": "DNS"}`),
		entry("wild", `{"hosts": ["*.wild.test"], `+web+`}], "resolution": "NONE"}`),
		entry("good", `{"hosts": ["good.test"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}, {"number": 443, "name": "tls", "protocol": "TLS"}], "resolution": "NONE"}`),
		entry("several", `{"hosts": ["several.test"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "resolution": "DNS", "endpoints": [{"address": "loop.test"}, {"address": "metadata.test"}]}`),
		entry("tcp", `{"hosts": ["loop.test"], "ports": [{"number": 9000, "name": "tcp", "protocol": "TCP"}], "resolution": "DNS"}`),
	}
}

// TestBypassAttempts tries to reach undeclared destinations through declared
// hosts.
func TestBypassAttempts(t *testing.T) {
	m := newBypassTest(t)
	for _, step := range []struct {
		name string
		run  func(*bypassTest, *testing.T)
	}{
		{"forbidden answers", (*bypassTest).forbiddenAnswers},
		{"another address", (*bypassTest).anotherAddress},
		{"another port", (*bypassTest).anotherPort},
		{"SNI and Host differ", (*bypassTest).sniAndHostDiffer},
		{"forged headers", (*bypassTest).forgedHeaders},
		{"two Hosts", (*bypassTest).twoHosts},
		{"CONNECT", (*bypassTest).connectMethod},
		{"an answer changes", (*bypassTest).changedAnswer},
	} {
		t.Run(step.name, func(t *testing.T) { step.run(m, t) })
	}
}

func (m *bypassTest) forbiddenAnswers(t *testing.T) {
	for name := range forbidden {
		for _, host := range []string{name, name + ":15020"} {
			if got := m.get("http", host, addrOther, "/"); !rejectedHTTP(got) {
				t.Errorf("%s: %q", host, got)
			}
		}
		m.want("https", name, addrOther, "/", "closed")
		if got := m.fetch("GET", name, "/", map[string][]string{"Connection": {"upgrade"}, "Upgrade": {"websocket"}}); !rejectedHTTP(got) {
			t.Errorf("%s as a web socket: %q", name, got)
		}
	}
	if got := m.get("http", "several.test", addrOther, "/"); !rejectedHTTP(got) {
		t.Errorf("several names: %q", got)
	}
	if got := m.send(decide.Request{Address: netip.MustParseAddr(addrOther), Port: 9000, Protocol: decide.HTTP, Method: "GET", Authority: "x", Path: "/"}); got != "closed" {
		t.Errorf("TCP: %q", got)
	}
	if got := m.reached.String(); got != "" {
		t.Errorf("the pod's own addresses were reached:\n%s", got)
	}
}

func (m *bypassTest) anotherAddress(t *testing.T) {
	for _, address := range []string{"203.0.113.66", "2001:db8::66", "169.254.169.254"} {
		m.want("http", "good.test", address, "/", "200 at=192.0.2.51")
		m.want("https", "good.test", address, "/", "200 at=192.0.2.51")
	}
}

func (m *bypassTest) anotherPort(t *testing.T) {
	// The port in a Host never selects the destination port.
	for _, authority := range []string{"good.test:8080", "good.test:80", "GOOD.test:22"} {
		got := m.fetch("GET", authority, "/", nil)
		if !strings.HasPrefix(got, "at=192.0.2.51 port=80 ") {
			t.Errorf("Host %s: %q", authority, got)
		}
	}
	if got := m.fetch("GET", "any.wild.test:8080", "/", nil); !strings.HasPrefix(got, "502") {
		t.Errorf("a wildcard's host with another port: %q", got)
	}
}

func (m *bypassTest) sniAndHostDiffer(t *testing.T) {
	// The Host is encrypted: the SNI decides, with its own address.
	q := decide.Request{
		Address: netip.MustParseAddr("203.0.113.66"), Port: 443, Protocol: decide.TLS, ServerName: "good.test",
		Method: "GET", Authority: "evil.test", Path: "/",
	}
	if got := m.send(q); !strings.HasPrefix(got, "at=192.0.2.51 port=443 host=evil.test") {
		t.Errorf("a declared SNI: %q", got)
	}
	q.ServerName, q.Authority = "evil.test", "good.test"
	if got := m.send(q); got != "closed" {
		t.Errorf("an undeclared SNI: %q", got)
	}
	q.ServerName = ""
	if got := m.send(q); got != "closed" {
		t.Errorf("no SNI: %q", got)
	}
}

func (m *bypassTest) forgedHeaders(t *testing.T) {
	for _, name := range []string{"x-envoy-original-dst-host", "x-envoy-original-host", "x-forwarded-host", "x-outrider-host"} {
		if got := m.fetch("GET", "good.test", "/", map[string][]string{name: {"203.0.113.66:80"}}); !strings.HasPrefix(got, "at=192.0.2.51 port=80 ") {
			t.Errorf("%s: %q", name, got)
		}
	}
	// The sidecar uses a header of its own between its filters.
	for _, host := range []string{"good.test", "GOOD.test:80", "any.wild.test"} {
		q := map[string][]string{"x-outrider-cluster": {"PassthroughCluster", "outbound|80||other.test"}, "X-Envoy-Decorator-Operation": {"mine"}}
		path := "/own/" + host
		if got := m.fetch("GET", host, path, q); !strings.HasPrefix(got, "at=192.0.2.5") || len(m.came.of(path)) != 1 {
			t.Fatalf("%s: %q", host, got)
		}
		header := m.came.of(path)[0].Header
		if want := strings.ToLower(strings.TrimSuffix(host, ":80")) + ":80/*"; header.Get("X-Outrider-Cluster") != "" || host != "any.wild.test" && header.Get("X-Envoy-Decorator-Operation") != want {
			t.Errorf("%s: outside of the pod: %v", host, header)
		}
	}
}

func (m *bypassTest) twoHosts(t *testing.T) {
	// Envoy joins them with a comma, which is not a declared name.
	if got := m.fetch("GET", "good.test\r\nHost: 203.0.113.66", "/", nil); !strings.HasPrefix(got, "502") {
		t.Errorf("%q", got)
	}
	if got := m.send(decide.Request{
		Address: netip.MustParseAddr(addrOther), Port: 80, Protocol: decide.HTTP, Method: "GET", Authority: "good.test", Path: "http://evil.test/",
	}); !strings.HasPrefix(got, "502") {
		t.Errorf("an absolute URL: %q", got)
	}
}

func (m *bypassTest) connectMethod(t *testing.T) {
	for _, target := range []string{"good.test:22", "203.0.113.66:80", "any.wild.test:22"} {
		if got := m.fetch("CONNECT", target, target, nil); strings.HasPrefix(got, "at=") || strings.HasPrefix(got, "200") {
			t.Errorf("%s: %q", target, got)
		}
	}
}

func (m *bypassTest) changedAnswer(t *testing.T) {
	m.want("http", "good.test", addrOther, "/", "200 at=192.0.2.51")
	m.setName("good.test", "127.0.0.1")
	for range 12 { // answers are kept for at least 5 s, then resolved again
		if got := m.get("http", "good.test", addrOther, "/"); !strings.HasPrefix(got, "200 at=192.0.2.51") && !rejectedHTTP(got) {
			t.Errorf("HTTP: %q", got)
		}
		m.want("https", "good.test", addrOther, "/", "200 at=192.0.2.51") // the last allowed answer is kept
		time.Sleep(500 * time.Millisecond)
	}
	if n := strings.Count(m.queries.String(), "good.test"); n < 4 {
		t.Errorf("%d DNS queries: the answer did not change", n)
	}
	if got := m.reached.String(); got != "" {
		t.Errorf("the pod's own addresses were reached:\n%s", got)
	}
}

// rejectedHTTP reports whether the sidecar rejected a request: no address, a
// forbidden address, or nothing listening.
func rejectedHTTP(got string) bool {
	return strings.HasPrefix(got, "503") || strings.HasPrefix(got, "403")
}

// listenInside listens on the pod's own ports and records requests: none may
// arrive.
func (m *mesh) listenInside() *kit.Buffer {
	reached := &kit.Buffer{}
	for _, address := range []string{":80", ":443", ":9000"} {
		var l net.Listener
		var err error
		m.Do(func() { l, err = net.Listen("tcp", address) })
		kit.Must(m.t, err)
		m.t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				b := make([]byte, 100)
				_ = conn.SetReadDeadline(time.Now().Add(time.Second))
				n, _ := conn.Read(b)
				// A connection without a byte carries no request.
				if n > 0 {
					fmt.Fprintf(reached, "%s: %q\n", conn.LocalAddr(), bytes.TrimSpace(b[:n]))
				}
				_ = conn.Close()
			}
		}()
	}
	return reached
}
