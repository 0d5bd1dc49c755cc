package xds

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/kit"
)

// observed is what can be seen of the victim's requests: what each got, what arrived at
// the servers, and the line of the access log for each.
type observed struct{ got, arrived, logged []string }

// hijackTest is a sidecar of the victim.
type hijackTest struct {
	*mesh
	mu      sync.Mutex
	arrived []string
}

// record answers with all that has arrived of a request.
func (h *hijackTest) record(w http.ResponseWriter, r *http.Request) bool {
	local := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	header := r.Header.Clone()
	for _, name := range []string{"X-Request-Id"} { // random
		if header.Get(name) != "" {
			header.Set(name, "set")
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "at=%s tls=%v %s %s host=%s", local, r.TLS != nil, r.Method, r.RequestURI, r.Host)
	for _, name := range slices.Sorted(maps.Keys(header)) {
		fmt.Fprintf(&b, " %s=%q", name, header[name])
	}
	h.mu.Lock()
	h.arrived = append(h.arrived, b.String())
	h.mu.Unlock()
	_, _ = io.WriteString(w, b.String())
	return true
}

// ask sends a request, and returns all that comes back and the address of the connection
// in the pod.
func (h *hijackTest) ask(q decide.Request) (answer, from string) {
	conn, from, err := h.dialFrom(netip.AddrPortFrom(q.Address, q.Port))
	if err != nil {
		return "not connected: " + err.Error(), ""
	}
	defer func() { _ = conn.Close() }()
	return exchange(conn, q), from
}

// exchange sends a request over a connection and returns all that comes back.
func exchange(conn net.Conn, q decide.Request) string {
	_ = conn.SetDeadline(time.Now().Add(8 * time.Second))
	if q.Protocol == decide.TCP {
		_, _ = io.WriteString(conn, "no request and no handshake\r\n\r\n")
		answer := make([]byte, 200)
		n, err := conn.Read(answer)
		if err != nil {
			return "closed"
		}
		at, _, _ := strings.Cut(string(answer[:n]), " ")
		return at
	}
	if q.Protocol == decide.TLS {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: q.ServerName})
	}
	_, _ = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", q.Method, q.Path, q.Authority)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "closed"
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	for _, name := range []string{"Date", "X-Envoy-Upstream-Service-Time"} { // times
		if resp.Header.Get(name) != "" {
			resp.Header.Set(name, "set")
		}
	}
	return fmt.Sprintf("%d %v %s", resp.StatusCode, resp.Header, body)
}

// What differs between two lines of the log for the same request.
var (
	logStart = regexp.MustCompile(`^\[[^]]*\] `)
	logID    = regexp.MustCompile(`"[0-9a-f]{8}-[0-9a-f-]{27}"`)
	logTimes = regexp.MustCompile(`" (\d+) (\d+) \d+ (\d+|-) "`)
	logBytes = regexp.MustCompile(`" \d+ \d+ (ms ms "-" "-" "-" "-")`)
	logReset = regexp.MustCompile(`^"- - -" 0 (UR|DC) `) // who is the first to close a TLS connection
)

// podAddress is the address of a connection in the pod. The last one of a line is that of
// the client; the one before is the sidecar's own.
var podAddress = regexp.MustCompile(regexp.QuoteMeta(pod4) + `:\d+`)

// logLines are the lines of the log since a place, by the address of their client, without
// times, random IDs and ephemeral ports.
func (h *hijackTest) logLines(since int) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(h.log.String()[since:]) {
		addresses := podAddress.FindAllString(line, -1)
		if !logStart.MatchString(line) || !strings.HasSuffix(line, "\n") || strings.Contains(line, "][") || addresses == nil {
			continue
		}
		line = logID.ReplaceAllString(logStart.ReplaceAllString(line, ""), `"id"`)
		line = logTimes.ReplaceAllString(podAddress.ReplaceAllString(line, "pod:port"), `" $1 $2 ms ms "`)
		line = logReset.ReplaceAllString(line, `"- - -" 0 - `)
		line = logBytes.ReplaceAllString(line, `" bytes $1`) // of TLS: signatures differ in length
		out[addresses[len(addresses)-1]] += line
	}
	return out
}

// observe sends all requests of the victim. Lines of earlier ones may still be written
// meanwhile: those of these are known by the addresses of their connections.
func (h *hijackTest) observe() observed {
	h.t.Helper()
	since := len(h.log.String())
	h.mu.Lock()
	h.arrived = nil
	h.mu.Unlock()
	requests := egresstest.HijackRequests()
	o, from := observed{got: make([]string, len(requests)), logged: make([]string, len(requests))}, make([]string, len(requests))
	var wg sync.WaitGroup
	for i, q := range requests {
		wg.Go(func() { o.got[i], from[i] = h.ask(q) })
		if i%8 == 7 {
			wg.Wait()
		}
	}
	wg.Wait()
	kit.EventuallyTrue(h.t, "the log has a line for each request", func() bool {
		lines, missing := h.logLines(since), false
		for i, address := range from {
			o.logged[i] = lines[address]
			missing = missing || address != "" && lines[address] == ""
		}
		return !missing
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	o.arrived = slices.Sorted(slices.Values(h.arrived))
	return o
}

// differences are the first ones of each kind.
func (o observed) differences(want observed) string {
	var b strings.Builder
	for _, c := range []struct {
		what      string
		got, want []string
	}{{"answer", o.got, want.got}, {"arrived", o.arrived, want.arrived}, {"logged", o.logged, want.logged}} {
		for i := range max(len(c.got), len(c.want)) {
			var got, want string
			if i < len(c.got) {
				got = c.got[i]
			}
			if i < len(c.want) {
				want = c.want[i]
			}
			if got != want {
				fmt.Fprintf(&b, "%s %d:\n got  %s\n want %s\n", c.what, i, got, want)
				break
			}
		}
	}
	return b.String()
}

// applied waits until the sidecar has acknowledged all that was published.
func (h *hijackTest) applied(model *egress.Model) {
	h.t.Helper()
	h.server.Publish(model)
	kit.EventuallyTrue(h.t, "the sidecar has the published model", func() bool {
		all := h.server.Status()
		return len(all) == 1 && all[0].Pending == 0 && all[0].Generation == h.server.current.Load().number && len(all[0].Sent) == 4
	})
}

// TestNoHijackInEnvoy has a sidecar of a namespace, and objects of a tenant that are
// exported as widely as an author can state: with the shipped settings no request of the
// namespace differs in its answer, in what arrives where, or in the access log. With Istio's
// default, an object for a host that nobody else declares shows that the test would
// notice.
func TestNoHijackInEnvoy(t *testing.T) {
	h := &hijackTest{mesh: newMesh(t, egresstest.HijackNames())}
	h.answer = h.record
	for _, mode := range []string{"REGISTRY_ONLY", "ALLOW_ANY"} {
		// On a busy machine 250 ms may not be enough for the first bytes; all clients here send first.
		settings := egresstest.Shipped(t, mode) + "protocolDetectionTimeout: 10s\n"
		build := func(in egress.Input) *egress.Model {
			model, problems := egress.Build(in)
			kit.Must(t, problems.Err())
			return model
		}
		h.server.Publish(build(egresstest.Hijack{}.Input(t, settings)))
		h.settled()
		h.observe() // the first requests wait for clusters
		want := h.observe()
		if again := h.observe(); again.differences(want) != "" {
			t.Fatalf("the requests differ without a change:\n%s", again.differences(want))
		}
		if mode == "REGISTRY_ONLY" {
			t.Logf("%d requests, of which %d arrive", len(want.got), len(want.arrived))
		}
		for _, c := range egresstest.Hijacks() {
			h.applied(build(c.Input(t, settings, "*")))
			if found := h.observe().differences(want); found != "" {
				t.Errorf("%s, %s: %s:\n%s", mode, c.Of, c.Name, found)
			}
		}
		istio := "accessLogFile: /dev/stdout\nprotocolDetectionTimeout: 10s\noutboundTrafficPolicy: {mode: " + mode + "}\n"
		for _, c := range egresstest.Hijacks() {
			if c.Name != "an entry that leads it elsewhere" {
				continue
			}
			h.server.Publish(build(c.Input(t, istio)))
			h.settled()
			if got := h.observe(); !strings.Contains(got.differences(want), egresstest.HijackThief) {
				t.Errorf("%s: with Istio's default, a host that nobody else declares is not led elsewhere: the test notices nothing\n%s", mode, got.differences(want))
			}
		}
	}
}
