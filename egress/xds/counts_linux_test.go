package xds

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
)

// countsEvery has the sidecar send its counts at another interval.
func countsEvery(interval string) func(string) string {
	return func(bootstrap string) string {
		return strings.Replace(bootstrap, "stats_flush_interval: 15s", "stats_flush_interval: "+interval, 1)
	}
}

// TestCounts has a real sidecar count what it sends to declared hosts of each kind.
func TestCounts(t *testing.T) {
	m := newMeshWith(t, countsEvery("0.5s"), map[string]string{"db.test": "192.0.2.71", "two.test": "192.0.2.72"})
	service := func(in *egress.Input) {
		in.InCluster = []egress.InClusterAddress{{Address: netip.MustParseAddr(addrService), Ports: []uint16{80}, Service: egress.ServiceName{Namespace: "bank", Name: "web"}}}
	}
	entries := []func(*egress.Input){
		reporting, service, entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "istio-system", "google", google), entryOf(t, "shop", "wild", wild),
		entryOf(t, "shop", "db", `{"hosts": ["db.test"], "addresses": ["192.0.2.71"], "ports": [{"number": 9000, "name": "tcp", "protocol": "TCP"}], "resolution": "DNS"}`),
		entryOf(t, "shop", "static", `{"hosts": ["static.test"], "addresses": ["192.0.2.73"], "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}], "resolution": "STATIC", "endpoints": [{"address": "192.0.2.74"}]}`),
		entryOf(t, "shop", "routed", `{"hosts": ["two.test"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "resolution": "DNS"}`),
		routeOf(t, "shop", "routed", `{"hosts": ["two.test"], "http": [{"timeout": "3s", "route": [{"destination": {"host": "two.test"}}]}]}`),
	}
	m.publish(modelOf(t, "REGISTRY_ONLY", entries...), "http", "httpbin.org", addrHTTPBin, "200")
	m.becomes("https", "www.google.com", addrOther, "200 at="+addrGoogle)
	m.settled()
	time.Sleep(700 * time.Millisecond)
	m.reported.forget()
	for range 3 {
		m.want("http", "httpbin.org", addrHTTPBin, "/", "200")
	}
	m.want("http", "two.test", addrOther, "/", "200")
	m.want("http", "a.example.com", addrOther, "/", "200")
	m.want("https", "a.example.com", addrOther, "/", "200")
	m.want("https", "static.test", addrOther, "/", "200 at=192.0.2.74")
	m.want("https", "www.google.com", addrOther, "/", "200")
	m.want("https", "www.google.com", addrOther, "/", "200")
	m.want("http", "any", addrService, "/", "200")
	open := m.dialRaw("192.0.2.71:9000")
	_, err := open.Write([]byte("\x00\x01not TLS"))
	kit.Must(t, err)
	m.wantReported(
		"sleep-7d4b-x2x *.example.com:443 TLS allowed shop/wild connections=1 requests=0",
		"sleep-7d4b-x2x *.example.com:80 HTTP allowed shop/wild connections=0 requests=1",
		"sleep-7d4b-x2x db.test:9000 TCP allowed shop/db connections=1 requests=0",
		"sleep-7d4b-x2x httpbin.org:80 HTTP allowed shop/httpbin connections=0 requests=3",
		"sleep-7d4b-x2x static.test:443 TLS allowed shop/static connections=1 requests=0",
		"sleep-7d4b-x2x two.test:80 HTTP allowed shop/routed connections=0 requests=1",
		"sleep-7d4b-x2x web.bank.svc.cluster.local:80 TCP allowed Service bank/web connections=1 requests=0",
		"sleep-7d4b-x2x www.google.com:443 TLS allowed istio-system/google connections=2 requests=0",
	)
	kit.Must(t, open.Close())
	kit.EventuallyTrue(t, "the bytes of the connections", func() bool {
		for _, host := range []string{"httpbin.org", "www.google.com", "web.bank.svc.cluster.local", "db.test"} {
			if sent, received := m.reported.bytes("shop", host); sent < 9 || received < 9 {
				return false
			}
		}
		return true
	})
	lines := func() int { return strings.Count(m.log.String(), " www.google.com -") }
	kit.EventuallyTrue(t, "the lines of the connections", func() bool { return lines() >= 2 })
	if n := lines(); n > 3 {
		t.Errorf("the access log has %d lines of connections to a declared name", n)
	}
	if n := len(m.server.Status()); n != 1 {
		t.Errorf("%d streams", n)
	}
}

// TestLastCounts ends sidecars: what arrives of what they have counted until then is all of
// it, and counted once. Envoy writes it when it closes the connection, and what the server
// has not read when the stream is reset is lost: it may be that nothing arrives.
func TestLastCounts(t *testing.T) {
	want := strings.Join([]string{
		"sleep-7d4b-x2x httpbin.org:80 HTTP allowed shop/httpbin connections=0 requests=1",
		"sleep-7d4b-x2x www.google.com:443 TLS allowed shop/google connections=1 requests=0",
	}, "\n")
	for range 3 {
		if got := lastCounts(t); got == want {
			return
		} else if got != "" {
			t.Errorf("reported:\n%s\nwant\n%s", got, want)
		}
	}
	t.Log("the last counts of no sidecar have arrived")
}

// lastCounts are those after the last interval of a sidecar.
func lastCounts(t *testing.T) string {
	m := newMeshWith(t, countsEvery("2s"), nil)
	m.publish(modelOf(t, "REGISTRY_ONLY", reporting, entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "shop", "google", google)), "http", "httpbin.org", addrHTTPBin, "200")
	m.becomes("https", "www.google.com", addrOther, "200 at="+addrGoogle)
	kit.EventuallyTrue(t, "counts", func() bool { return strings.Count(m.reported.text("shop"), "allowed") == 2 })
	m.reported.forget()
	m.want("http", "httpbin.org", addrHTTPBin, "/", "200")
	m.want("https", "www.google.com", addrOther, "/", "200")
	kit.Must(t, syscall.Kill(m.pid, syscall.SIGTERM))
	time.Sleep(time.Second)
	return m.reported.text("shop")
}
