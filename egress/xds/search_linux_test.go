package xds

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// omitted waits until the sidecar's configuration is without exactly some objects.
func (m *mesh) omitted(want ...string) {
	m.t.Helper()
	last := ""
	took := kit.EventuallyTrue(m.t, fmt.Sprintf("without %q", want), func() bool {
		streams := m.server.Status()
		if len(streams) == 0 {
			return false
		}
		got := streams[len(streams)-1].Omitted
		if text := fmt.Sprint(got); text != last {
			last = text
			m.t.Log(text)
		}
		for _, w := range want {
			if got[w] == "" {
				return false
			}
		}
		return len(got) == len(want)
	})
	m.t.Logf("without %q after %s", want, took.Round(time.Millisecond))
}

// admin is an answer of the sidecar's admin interface.
func (m *mesh) admin(path string) string {
	m.t.Helper()
	var text []byte
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			m.Do(func() { conn, err = (&net.Dialer{}).DialContext(ctx, network, address) })
			return conn, err
		}}}
	resp, err := client.Get("http://127.0.0.1:15000" + path)
	kit.Must(m.t, err)
	defer resp.Body.Close()
	text, err = io.ReadAll(resp.Body)
	kit.Must(m.t, err)
	return string(text)
}

// steady requests a host without a pause until the test ends, and counts failures.
func (m *mesh) steady(host string) (failures *atomic.Int64) {
	failures = &atomic.Int64{}
	k := m.keep(host, "http", host, addrOther, "80")
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				m.t.Logf("%d requests to %s, %d failures", n, host, failures.Load())
				return
			default:
				if k.status() != http.StatusOK {
					failures.Add(1)
				}
			}
		}
	}()
	m.t.Cleanup(func() { close(stop); <-done })
	return failures
}

// TestRejectedObject has one object among hundreds that Envoy rejects: it alone is
// omitted, no request of others fails, and their newest objects are applied.
func TestRejectedObject(t *testing.T) {
	m := newMesh(t, nil)
	m.expectNACK.Store(true)
	bin, others := entryOf(t, "shop", "httpbin", httpbin), many(t, 300)
	m.publish(modelOf(t, "REGISTRY_ONLY", bin, others), "http", "httpbin.org", addrOther, "200")
	failures := m.steady("httpbin.org")

	evil := entryOf(t, "evil", "evil", `{"hosts": ["evil.example"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "resolution": "DNS"}`)
	evilRoute := `{"hosts": ["evil.example"], "http": [{"match": [{"uri": {"prefix": "/x/"}}], "route": [{"destination": {"host": "evil.example"}}]}]}`
	generation := int64(1)
	wrong := func(regex string, more ...func(*egress.Input)) *egress.Model {
		generations := func(in *egress.Input) {
			for i := range in.VirtualServices {
				in.VirtualServices[i].Generation = generation
			}
		}
		return unvalidated(t, "REGISTRY_ONLY", matching("evil", regex), append(more, bin, others, evil, routeOf(t, "evil", "evil", evilRoute), generations)...)
	}
	m.server.Publish(wrong(refused))
	m.omitted("VirtualService evil/evil")
	if reason := m.server.Status()[0].Omitted["VirtualService evil/evil"]; reason != `invalid character class range: \p{Letter}` {
		t.Errorf("reason %q", reason)
	}
	kit.EventuallyTrue(t, "the entry without routes, whose name does not exist", func() bool {
		return strings.HasPrefix(m.get("http", "evil.example", addrOther, "/"), "503")
	})

	// The newest objects of others are applied.
	m.publish(wrong(refused, entryOf(t, "shop", "wild", wild)), "http", "a.example.com", addrOther, "200")
	m.omitted("VirtualService evil/evil")

	// Others are found too, and a change is tried again.
	generation++
	m.server.Publish(wrong(`\p{Greek}(`, routeOf(t, "shop", "evil", strings.ReplaceAll(evilRoute, "evil.example", "host-7.gen.test"))))
	m.omitted("VirtualService evil/evil", "VirtualService shop/evil")
	generation++
	m.server.Publish(wrong("/x"))
	m.omitted()
	if n := failures.Load(); n > 0 {
		t.Errorf("%d requests of another namespace failed", n)
	}
	kit.EventuallyTrue(t, "no trial remains", func() bool { return !strings.Contains(m.admin("/listeners"), envoy.TrialListener) })
}

// TestRejectedObject_NewSidecar starts a sidecar that is the first to get an object
// that Envoy rejects: it has all other routes when it is ready.
func TestRejectedObject_NewSidecar(t *testing.T) {
	m := newMesh(t, nil)
	m.expectNACK.Store(true)
	bin, goog := entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "shop", "google", google)
	m.server.Publish(unvalidated(t, "REGISTRY_ONLY", matching("httpbin", refused), bin, goog, many(t, 300), routeOf(t, "shop", "httpbin", timeout)))
	took := kit.EventuallyTrue(t, "the sidecar is ready", func() bool { return m.ready() == http.StatusOK })
	first := m.get("http", "httpbin.org", addrHTTPBin, "/")
	t.Logf("ready after %s, and the first answer is %q", took.Round(time.Millisecond), first)
	if strings.HasPrefix(first, "404") || first == "closed" {
		t.Errorf("a ready sidecar has no routes: %q", first)
	}
	m.omitted("VirtualService shop/httpbin")
	kit.EventuallyTrue(t, "all other routes", func() bool { return strings.HasPrefix(m.get("http", "httpbin.org", addrHTTPBin, "/"), "200") })
	m.want("http", "other.test", addrOther, "/", "502")
	m.want("https", "www.google.com", addrOther, "/", "200")
	for line := range strings.Lines(m.log.String()) {
		if strings.Contains(line, " 404 NR ") {
			t.Errorf("a request had no route: %s", line)
		}
	}
}

// ready is the status that the sidecar's readiness probe gets; 0 is none.
func (m *mesh) ready() int {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			m.Do(func() { conn, err = (&net.Dialer{}).DialContext(ctx, network, address) })
			return conn, err
		}}}
	resp, err := client.Get("http://" + pod4 + ":15021/healthz/ready")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
