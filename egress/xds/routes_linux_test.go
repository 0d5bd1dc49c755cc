package xds

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/test/kit"
)

// received are the requests that left the pod, by path.
type received struct {
	mu  sync.Mutex
	all map[string][]*http.Request
}

func (r *received) add(q *http.Request) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[string][]*http.Request{}
	}
	r.all[q.URL.Path] = append(r.all[q.URL.Path], q)
	return len(r.all[q.URL.Path])
}

func (r *received) of(path string) []*http.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all[path]
}

// echo takes a connection over and sends back what comes.
func echo(w http.ResponseWriter) {
	conn, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	_, _ = io.Copy(conn, buffered)
}

const routed = `{"hosts": ["httpbin.org"], "http": [
	{"match": [{"uri": {"exact": "/headers"}}], "route": [{"destination": {"host": "httpbin.org"}, "headers": {"request": {"add": {"x-to": "httpbin"}}}}],
	 "headers": {"request": {"set": {"x-set": "%REQ(x-a)%"}, "add": {"x-more": "two"}, "remove": ["x-gone"]}, "response": {"set": {"x-out": "1"}}}},
	{"match": [{"uri": {"exact": "/flaky"}}], "route": [{"destination": {"host": "httpbin.org"}}], "retries": {"attempts": 3, "retryOn": "503", "backoff": "2ms"}},
	{"match": [{"uri": {"regex": "/(a{300}|[0-9a-f]{200})"}}], "directResponse": {"status": 299}},
	{"match": [{"uri": {"exact": "/firm"}}], "route": [{"destination": {"host": "httpbin.org"}}], "retries": {"attempts": 0}},
	{"match": [{"uri": {"exact": "/slow"}}], "route": [{"destination": {"host": "httpbin.org"}}], "fault": {"delay": {"percentage": {"value": 100}, "fixedDelay": "0.4s"}}},
	{"match": [{"uri": {"exact": "/aborted"}}], "route": [{"destination": {"host": "httpbin.org"}}], "fault": {"abort": {"percentage": {"value": 100}, "grpcStatus": "NOT_FOUND"}}},
	{"match": [{"uri": {"exact": "/tries"}}], "route": [{"destination": {"host": "httpbin.org"}}], "retries": {"attempts": 1, "perTryTimeout": "0.2s", "retryOn": "5xx"}},
	{"match": [{"uri": {"prefix": "/copied"}}], "route": [{"destination": {"host": "httpbin.org"}}],
	 "mirrors": [{"destination": {"host": "mirror.test"}}, {"destination": {"host": "fixed.test"}}, {"destination": {"host": "loop.test"}}]},
	{"match": [{"uri": {"exact": "/half"}}], "route": [{"destination": {"host": "httpbin.org"}}], "mirror": {"host": "mirror.test"}, "mirrorPercentage": {"value": 0}},
	{"match": [{"uri": {"exact": "/split"}}], "route": [{"destination": {"host": "one.test"}, "weight": 75}, {"destination": {"host": "fixed.test"}, "weight": 25}]},
	{"match": [{"uri": {"exact": "/unweighted"}}], "route": [{"destination": {"host": "one.test"}, "weight": 100}, {"destination": {"host": "fixed.test"}}]},
	{"match": [{"uri": {"prefix": "/bare"}}], "rewrite": {"uri": "/"}, "route": [{"destination": {"host": "httpbin.org"}}]},
	{"match": [{"uri": {"prefix": "/slash/"}}], "rewrite": {"uri": "/v2"}, "route": [{"destination": {"host": "httpbin.org"}}]},
	{"match": [{"uri": {"prefix": "/strip/"}}], "rewrite": {"uri": "/"}, "route": [{"destination": {"host": "httpbin.org"}}]},
	{"route": [{"destination": {"host": "httpbin.org"}}]}]}`

// routesTest is a real sidecar with the routes of routed, and the requests that
// left the pod.
type routesTest struct {
	*mesh
	world received
	model *egress.Model
}

// answerRoutes answers the paths that routed has.
func (m *routesTest) answerRoutes(w http.ResponseWriter, r *http.Request) bool {
	if n := m.world.add(r); r.URL.Path == "/flaky" && n < 3 || r.URL.Path == "/firm" {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	} else if r.Header.Get("Upgrade") == "websocket" {
		echo(w)
		return true
	} else if r.URL.Path == "/tries" {
		select {
		case <-r.Context().Done():
		case <-time.After(time.Second):
		}
		return true
	}
	return false
}

// routedModel has the routes, with the ports of the names that they refer to.
func routedModel(t *testing.T, ports string) *egress.Model {
	return modelOf(t, "REGISTRY_ONLY", entryOf(t, "shop", "httpbin", httpbin), routeOf(t, "shop", "routes", routed),
		entryOf(t, "shop", "names", `{"hosts": ["mirror.test", "one.test", "loop.test"], `+ports+`, "resolution": "DNS"}`),
		entryOf(t, "shop", "fixed", `{"hosts": ["fixed.test"], `+ports+`, "resolution": "STATIC", "endpoints": [{"address": "192.0.2.43"}]}`),
	)
}

// TestRoutes checks what routes do beyond choosing a destination, which the
// random requests check.
func TestRoutes(t *testing.T) {
	m := &routesTest{
		mesh:  newMesh(t, map[string]string{"mirror.test": "192.0.2.41", "one.test": "192.0.2.42", "loop.test": "127.0.0.1"}),
		model: routedModel(t, `"ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]`),
	}
	m.answer = m.answerRoutes
	m.publish(m.model, "http", "httpbin.org", addrOther, "200")
	for _, step := range []struct {
		name string
		run  func(*routesTest, *testing.T)
	}{
		{"headers", (*routesTest).routeHeaders},
		{"abort with a gRPC status", (*routesTest).routeAbortGRPC},
		{"a large regular expression", (*routesTest).routeLargeRegex},
		{"retries", (*routesTest).routeRetries},
		{"delay", (*routesTest).routeDelay},
		{"mirrors", (*routesTest).routeMirrors},
		{"a mirror port changes", (*routesTest).routeMirrorPortChange},
		{"WebSocket", (*routesTest).routeWebSocket},
		{"weights", (*routesTest).routeWeights},
		{"rewrites with a warning", (*routesTest).routeRewrites},
		{"undeclared host", (*routesTest).routeUndeclared},
		{"default retries", (*routesTest).routeDefaultRetries},
	} {
		t.Run(step.name, func(t *testing.T) { step.run(m, t) })
	}
}

func (m *routesTest) routeHeaders(t *testing.T) {
	m.fetch("GET", "httpbin.org", "/headers", map[string][]string{"x-a": {"there"}, "x-gone": {"1"}, "x-more": {"one"}})
	q := m.world.of("/headers")[0]
	if got := fmt.Sprint(q.Header.Values("x-set"), q.Header.Values("x-more"), q.Header.Values("x-gone"), q.Header.Values("x-to")); got != "[there] [one two] [] [httpbin]" {
		t.Errorf("outside of the pod: %s", got)
	}
	for name := range q.Header {
		if strings.Contains(strings.ToLower(name), "retr") {
			t.Errorf("outside of the pod: %s: %s", name, q.Header.Get(name))
		}
	}
}

func (m *routesTest) routeAbortGRPC(t *testing.T) {
	request := decide.Request{
		Address: netip.MustParseAddr(addrOther), Port: 80, Protocol: decide.HTTP, Method: "GET", Authority: "httpbin.org", Path: "/aborted",
	}
	if got, want := m.send(request), m.expected(decide.Decide(m.model.View("shop"), request), request); !strings.HasPrefix(got, want[0]) {
		t.Errorf("%q, want %q", got, want)
	}
}

func (m *routesTest) routeLargeRegex(t *testing.T) {
	if got := m.fetch("GET", "httpbin.org", "/"+strings.Repeat("a", 300), nil); !strings.HasPrefix(got, "299") {
		t.Errorf("%q", got)
	}
}

func (m *routesTest) routeRetries(t *testing.T) {
	if got := m.fetch("GET", "httpbin.org", "/flaky", nil); !strings.HasPrefix(got, "at=") || len(m.world.of("/flaky")) != 3 {
		t.Errorf("%q after %d attempts, want 3", got, len(m.world.of("/flaky")))
	}
	if got := m.world.of("/flaky")[2].Header.Get("X-Envoy-Attempt-Count"); got != "3" {
		t.Errorf("the attempt count of the third attempt is %q", got)
	}
	if got := m.fetch("GET", "httpbin.org", "/firm", nil); !strings.HasPrefix(got, "503") || len(m.world.of("/firm")) != 1 {
		t.Errorf("%q after %d attempts, want 1", got, len(m.world.of("/firm")))
	}
	start := time.Now()
	if got := m.fetch("GET", "httpbin.org", "/tries", nil); !strings.HasPrefix(got, "504") || len(m.world.of("/tries")) != 2 || time.Since(start) > 900*time.Millisecond {
		t.Errorf("%q after %d attempts and %s", got, len(m.world.of("/tries")), time.Since(start))
	}
}

func (m *routesTest) routeDelay(t *testing.T) {
	start := time.Now()
	if got := m.fetch("GET", "httpbin.org", "/slow", nil); !strings.HasPrefix(got, "at=") || time.Since(start) < 390*time.Millisecond {
		t.Errorf("%q after %s", got, time.Since(start))
	}
}

func (m *routesTest) routeMirrors(t *testing.T) {
	m.fetch("POST", "httpbin.org", "/copied", nil)
	kit.EventuallyTrue(t, "three requests left the pod", func() bool { return len(m.world.of("/copied")) == 3 })
	m.fetch("GET", "httpbin.org", "/half", nil)
	time.Sleep(300 * time.Millisecond)
	hosts := map[string]bool{}
	for _, q := range m.world.of("/copied") {
		hosts[q.Host] = true
	}
	// A copy to a name carries that name; one to an address is marked. None
	// reached the loopback, where nothing listens but what a pod keeps to itself.
	if len(hosts) != 3 || !hosts["httpbin.org"] || !hosts["mirror.test"] || !hosts["httpbin.org-shadow"] || len(m.world.of("/half")) != 1 {
		t.Errorf("outside of the pod: %v, and %d of /half", hosts, len(m.world.of("/half")))
	}
}

func (m *routesTest) routeMirrorPortChange(t *testing.T) {
	m.server.Publish(routedModel(t, `"ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 8080}]`))
	m.settled()
	defer func() { m.server.Publish(m.model); m.settled() }()
	m.fetch("GET", "httpbin.org", "/copied/again", nil)
	kit.EventuallyTrue(t, "a copy has the new port", func() bool {
		return slices.ContainsFunc(m.world.of("/copied/again"), func(q *http.Request) bool { return q.Host == "mirror.test:8080" })
	})
}

func (m *routesTest) routeWebSocket(t *testing.T) {
	var conn net.Conn
	var err error
	m.Do(func() { conn, err = net.Dial("tcp", addrOther+":80") })
	kit.Must(t, err)
	defer func() { _ = conn.Close() }()
	kit.Must(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	_, err = io.WriteString(conn, "GET /socket HTTP/1.1\r\nHost: httpbin.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	kit.Must(t, err)
	from := bufio.NewReader(conn)
	resp, err := http.ReadResponse(from, nil)
	kit.Must(t, err)
	_, err = io.WriteString(conn, "ping")
	kit.Must(t, err)
	back := make([]byte, 4)
	if _, err := io.ReadFull(from, back); err != nil || resp.StatusCode != http.StatusSwitchingProtocols || string(back) != "ping" {
		t.Errorf("status %d, then %q: %v", resp.StatusCode, back, err)
	}
}

func (m *routesTest) routeWeights(t *testing.T) {
	at := map[string]int{}
	for range 400 { // the first ones, with a body, before the clusters are there
		at[strings.Fields(m.fetch("POST", "httpbin.org", "/split", nil))[0]]++
	}
	for range 20 {
		if got := m.fetch("GET", "httpbin.org", "/unweighted", nil); !strings.HasPrefix(got, "at=192.0.2.42") {
			t.Errorf("beside the only destination with a weight: %q", got)
		}
	}
	if one := at["at=192.0.2.42"]; one+at["at=192.0.2.43"] != 400 || one < 240 || one > 360 {
		t.Errorf("%v, want three of four at 192.0.2.42", at)
	}
}

// routeRewrites has the paths that the warnings about rewrites name.
func (m *routesTest) routeRewrites(t *testing.T) {
	for path, want := range map[string]string{"/bare/r": "//r", "/slash/r": "/v2r", "/strip/r": "/r", "/strip": "/strip"} {
		m.fetch("GET", "httpbin.org", path, nil)
		if len(m.world.of(want)) != 1 {
			t.Errorf("%s did not become %s", path, want)
		}
		if d := decide.Decide(m.model.View("shop"), decide.Request{Port: 80, Protocol: decide.HTTP, Method: "GET", Authority: "httpbin.org", Path: path}); d.Path != want {
			t.Errorf("%s is decided to become %s, want %s", path, d.Path, want)
		}
	}
}

func (m *routesTest) routeUndeclared(t *testing.T) {
	m.publish(modelOf(t, "ALLOW_ANY"), "http", "any.test", addrOther, "200")
	m.fetch("GET", "any.test", "/undeclared", nil)
	for name := range m.world.of("/undeclared")[0].Header {
		if strings.Contains(strings.ToLower(name), "retr") {
			t.Errorf("outside of the pod: %s", name)
		}
	}
}

func (m *routesTest) routeDefaultRetries(t *testing.T) {
	// Nothing listens on the port: the sidecar retries, as in Istio.
	m.server.Publish(modelOf(t, "REGISTRY_ONLY", entryOf(t, "shop", "gone",
		`{"hosts": ["one.test"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 4}], "resolution": "DNS"}`)))
	kit.EventuallyTrue(t, "the host has no endpoint", func() bool { return strings.HasPrefix(m.fetch("GET", "one.test", "/", nil), "503") })
	m.fetch("GET", "one.test", "/", nil)
	m.logged("503 URX,UF", "one.test")
}
