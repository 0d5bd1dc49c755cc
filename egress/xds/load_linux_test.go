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
	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// TestModeChangesUnderLoad switches the mesh's mode 30 times while applications
// use declared hosts, then stops the control plane and starts it again: none of
// their requests fails.
func TestModeChangesUnderLoad(t *testing.T) {
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
	const changes = 30
	var took []time.Duration
	for i := range changes {
		model, want := open, "200"
		if i%2 == 1 {
			model, want = closed, "502"
		}
		m.server.Publish(model)
		took = append(took, kit.EventuallyTrue(t, "the mode is applied", func() bool {
			return strings.HasPrefix(m.get("http", "example.org", addrOther, "/"), want)
		}))
	}
	before := total.Load()
	m.restart(closed)
	t.Logf("%d requests while the control plane restarted", total.Load()-before)
	close(stop)
	load.Wait()
	slices.Sort(took)
	t.Logf("%d changes of mode: effective after %s (median), %s (max); %d requests meanwhile, %d failed", changes,
		took[changes/2].Round(time.Millisecond), took[changes-1].Round(time.Millisecond), total.Load(), failed.Load())
	if failed.Load() > 0 || total.Load() < 100 {
		t.Errorf("%d of %d requests failed", failed.Load(), total.Load())
	}
}

// restart stops the control plane and starts another one later, which accepts no
// stream before it has published a model.
func (m *mesh) restart(model *egress.Model) {
	m.t.Helper()
	m.stop()
	time.Sleep(300 * time.Millisecond)
	m.serveControlPlane()
	time.Sleep(700 * time.Millisecond)
	if n := len(m.server.Status()); n != 0 {
		m.t.Errorf("%d sidecars are connected to a control plane without configuration", n)
	}
	m.server.Publish(model)
	m.settled()
}

// genNames are the addresses of generated hosts.
func genNames(n int) map[string]string {
	names := map[string]string{}
	for i := range n {
		names[fmt.Sprintf("host-%d.gen.test", i)] = fmt.Sprintf("203.0.113.%d", i%250+1)
	}
	return names
}

// TestManyHosts declares 1,000 entries of which five are used: only those are
// resolved and have clusters, and one more entry costs little. It prints the
// figures.
func TestManyHosts(t *testing.T) {
	const entries, used = 1000, 5
	m := newMesh(t, genNames(entries))
	bin, goog := entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "shop", "google", google)
	m.publish(modelOf(t, "REGISTRY_ONLY", many(t, entries), bin, goog), "http", "httpbin.org", addrHTTPBin, "200")
	if strings.Contains(m.queries.String(), "gen.test") {
		t.Error("names that were not used were resolved")
	}
	for i := range used {
		m.use(i)
	}
	for name := range m.server.Status()[0].Sent[envoy.TypeCluster] {
		if _, rest, _ := strings.Cut(name, "host-"); rest != "" && len(rest) != len("0.gen.test") {
			t.Errorf("cluster %s was sent and is not used", name)
		}
	}
	t.Logf("%d entries, %d in use: %s", entries, used, m.memory())
	m.countQueries(used)

	m.bytes.Store(0)
	m.publish(modelOf(t, "REGISTRY_ONLY", many(t, entries+1), bin, goog, entryOf(t, "shop", "wild", wild)), "http", "a.example.com", addrOther, "200")
	const most = 160 << 10 // includes the wildcard's two clusters and filter chain
	if n := m.bytes.Load(); n > most {
		t.Errorf("more entries cost %d bytes, want at most %d", n, most)
	}
	t.Logf("one more entry: %d KB", m.bytes.Load()>>10)
	m.firstRequests(used, used+100)
	t.Logf("%d entries, %d in use: %s", entries, used+100, m.memory())
}

// TestMemory prints a sidecar's memory with no entry and with 5,000, of which
// five are used.
func TestMemory(t *testing.T) {
	const entries, used = 5000, 5
	t.Run("none", func(t *testing.T) {
		m := newMesh(t, nil)
		m.publish(modelOf(t, "REGISTRY_ONLY"), "http", "httpbin.org", addrHTTPBin, "502")
		t.Logf("no entry: %s", m.memory())
	})
	t.Run("many", func(t *testing.T) {
		m := newMesh(t, genNames(used))
		m.server.Publish(modelOf(t, "REGISTRY_ONLY", many(t, entries)))
		kit.EventuallyTrue(t, "the hosts are declared", func() bool { return strings.HasPrefix(m.get("http", "host-0.gen.test", addrOther, "/"), "200") })
		for i := range used {
			m.use(i)
		}
		t.Logf("%d entries, %d in use: %s", entries, used, m.memory())
	})
}

// use sends requests to a generated host, with TLS and without.
func (m *mesh) use(i int) {
	m.t.Helper()
	host := fmt.Sprintf("host-%d.gen.test", i)
	m.want("http", host, addrOther, "/", "200")
	m.want("https", host, addrOther, "/", "200")
}

// countQueries prints the DNS queries per second, over the TTL of an answer.
func (m *mesh) countQueries(used int) {
	m.t.Helper()
	const while = 31 * time.Second
	before := strings.Count(m.queries.String(), "\n")
	time.Sleep(while)
	n := strings.Count(m.queries.String(), "\n") - before
	m.t.Logf("%d hosts in use: %.2f DNS queries per second", used+2, float64(n)/while.Seconds())
}

// firstRequests prints how long the first request to each of some hosts takes,
// and the second.
func (m *mesh) firstRequests(from, to int) {
	m.t.Helper()
	var took [2][]time.Duration
	for i := from; i < to; i++ {
		for j := range took {
			start := time.Now()
			if got := m.fetch("GET", fmt.Sprintf("host-%d.gen.test", i), "/", nil); !strings.HasPrefix(got, "at=") {
				m.t.Errorf("host-%d: %q", i, got)
			}
			took[j] = append(took[j], time.Since(start))
		}
	}
	for j, which := range []string{"first", "second"} {
		slices.Sort(took[j])
		n := len(took[j])
		m.t.Logf("%s request: %s (median), %s (p99), %s (max)", which, took[j][n/2].Round(10*time.Microsecond), took[j][n*99/100-1].Round(10*time.Microsecond), took[j][n-1].Round(10*time.Microsecond))
	}
}

// memory is the sidecar's resident memory. The file-backed part is shared by all
// sidecars of a node.
func (m *mesh) memory() string {
	m.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.pid))
	kit.Must(m.t, err)
	mib := func(field string) float64 {
		_, rest, _ := strings.Cut(string(text), field+":")
		kb, err := strconv.Atoi(strings.Fields(rest)[0])
		kit.Must(m.t, err)
		return float64(kb) / 1024
	}
	return fmt.Sprintf("%.1f MiB, of which %.1f are file-backed", mib("VmRSS"), mib("RssFile"))
}
