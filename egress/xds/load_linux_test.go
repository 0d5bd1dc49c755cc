package xds

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/egress"
)

// TestFlipsUnderLoad flips the mesh's mode 30 times while applications use a
// declared host: none of their requests fails.
func TestFlipsUnderLoad(t *testing.T) {
	m := newMesh(t, nil)
	bin, goog := entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "shop", "google", google)
	open, closed := modelOf(t, "ALLOW_ANY", bin, goog), modelOf(t, "REGISTRY_ONLY", bin, goog)
	m.publish(closed, "http", "httpbin.org", addrHTTPBin, "200")
	var total, failed atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	for _, k := range []*kept{
		m.keep("HTTP", "http", "httpbin.org", addrHTTPBin, "80"), m.keep("HTTP", "http", "httpbin.org", addrHTTPBin, "80"),
		m.keep("TLS", "https", "www.google.com", addrGoogle, "443"),
	} {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				total.Add(1)
				if k.status() != 200 {
					failed.Add(1)
				}
				if total.Load()%10 == 0 {
					k.client.CloseIdleConnections() // new connections too
				}
			}
		})
	}
	const flips = 30
	var took []time.Duration
	for i := range flips {
		model, want := open, "200"
		if i%2 == 1 {
			model, want = closed, "502"
		}
		m.server.Publish(model)
		took = append(took, eventually(t, "the flip holds", func() bool {
			return strings.HasPrefix(m.get("http", "example.org", addrOther, "/"), want)
		}))
	}
	close(stop)
	load.Wait()
	slices.Sort(took)
	t.Logf("%d flips: effective after %s (median), %s (most); %d requests meanwhile, %d failed", flips,
		took[flips/2].Round(time.Millisecond), took[flips-1].Round(time.Millisecond), total.Load(), failed.Load())
	if failed.Load() > 0 || total.Load() < 100 {
		t.Errorf("%d of %d requests failed", failed.Load(), total.Load())
	}
}

// TestManyHosts declares 1,000 entries of which two hosts are used: names and
// clusters are those in use, and more entries cost little. The memory is printed
// beside that of the same sidecar with none.
func TestManyHosts(t *testing.T) {
	m := newMesh(t, nil)
	bin, goog := entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "shop", "google", google)
	m.publish(modelOf(t, "REGISTRY_ONLY"), "http", "httpbin.org", addrHTTPBin, "502")
	floor := m.rss()
	m.publish(modelOf(t, "REGISTRY_ONLY", many(t, 1000), bin, goog), "http", "httpbin.org", addrHTTPBin, "200")
	m.want("https", "www.google.com", addrGoogle, "/", "200")
	m.bytes.Store(0)
	m.publish(modelOf(t, "REGISTRY_ONLY", many(t, 1001), bin, goog, entryOf(t, "shop", "wild", wild)), "http", "a.example.com", addrOther, "200")
	const most = 160 << 10 // the wildcard's own two clusters and chain are in it
	if n := m.bytes.Load(); n > most {
		t.Errorf("more entries cost %d bytes, want at most %d", n, most)
	}
	t.Logf("1,000 entries: %d MiB, with none %d MiB; an entry more: %d KB", m.rss()>>10, floor>>10, m.bytes.Load()>>10)
	if strings.Contains(m.asked.String(), "gen.test") {
		t.Error("names were asked for that nobody used")
	}
	for name := range m.server.Status()[0].Sent[egress.TypeCluster] {
		if strings.Contains(name, "gen.test") {
			t.Errorf("cluster %s was sent and nobody used it", name)
		}
	}
}

// rss is the sidecar's memory in KiB.
func (m *mesh) rss() int {
	m.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.pid))
	must(m.t, err)
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	must(m.t, err)
	return kb
}
