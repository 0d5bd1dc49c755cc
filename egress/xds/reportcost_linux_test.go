package xds

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
)

// BenchmarkReportCost prints the ratio of a sidecar's processor time with reports to that of
// one without, and the difference of their memory, for traffic to declared hosts. A third
// sidecar, without reports too, shows how much of it is noise. Each iteration gives all of
// them the same load for ten seconds, in turns of one second.
//
//	make bench-reports
func BenchmarkReportCost(b *testing.B) {
	for _, mode := range []string{"ALLOW_ANY", "REGISTRY_ONLY"} {
		for _, l := range []struct {
			name string
			rate int
			send func(*mesh, int)
		}{
			{"requests", 1000, (*mesh).sendRequest}, {"routed", 1000, (*mesh).sendRouted}, {"connections", 300, (*mesh).sendHello},
		} {
			b.Run(fmt.Sprintf("%s/%s=%d", mode, l.name, l.rate), func(b *testing.B) { measureReportCost(b, mode, l.rate, l.send) })
		}
	}
}

// costHosts are those in use.
const costHosts = 5

func measureReportCost(b *testing.B, mode string, rate int, send func(*mesh, int)) {
	sidecars := []*mesh{costMesh(b, mode, withoutCounts, nil), costMesh(b, mode, nil, reporting), costMesh(b, mode, withoutCounts, nil)}
	for _, m := range sidecars {
		m.loadFor(2*time.Second, rate, send)
	}
	var ratios, noise, costs []float64
	for b.Loop() {
		took := inTurns(sidecars, rate, send)
		ratios, noise = append(ratios, took[1]*2/(took[0]+took[2])), append(noise, took[2]/took[0])
		costs = append(costs, (took[0]+took[2])/2/float64(10*rate)*1e6)
	}
	b.Logf("without reports: %s us; with them x %s; another sidecar without them x %s", spread(costs, "%.0f"), spread(ratios, "%.3f"), spread(noise, "%.3f"))
	b.ReportMetric(median(ratios), "x-without")
	first, with, second := sidecars[0].anonymousMemory(), sidecars[1].anonymousMemory(), sidecars[2].anonymousMemory()
	b.ReportMetric(float64(with)-float64(first+second)/2, "KiB-more")
	b.ReportMetric(float64(second-first), "KiB-noise")
}

// costMesh is a sidecar with hosts that are in use, of which one half has a VirtualService.
func costMesh(b testing.TB, mode string, edit func(string) string, reports func(*egress.Input)) *mesh {
	change := []func(*egress.Input){many(b, 2*costHosts)}
	for i := range costHosts {
		host := routedHost(i)
		change = append(change, routeOf(b, "shop", fmt.Sprint("routed-", i), `{"hosts": ["`+host+`"], "http": [{"timeout": "3s", "route": [{"destination": {"host": "`+host+`"}}]}]}`))
	}
	if reports != nil {
		change = append(change, reports)
	}
	m := newMeshWith(b, edit, genNames(2*costHosts))
	m.server.Publish(modelOf(b, mode, change...))
	m.settled()
	for i := range costHosts {
		m.clients = append(m.clients, m.keep("HTTP", "http", plainHost(i), addrOther, "80"), m.keep("HTTP", "http", routedHost(i), addrOther, "80"))
		kit.EventuallyTrue(b, "the hosts are declared", func() bool { return m.clients[2*i].status() == 200 && m.clients[2*i+1].status() == 200 })
	}
	return m
}

// withoutCounts is a bootstrap that sends none.
func withoutCounts(bootstrap string) string {
	return regexp.MustCompile(`(?s)stats_flush_interval:.*batch_size: \d+\n`).ReplaceAllString(bootstrap, "")
}

func plainHost(i int) string  { return fmt.Sprintf("host-%d.gen.test", i) }
func routedHost(i int) string { return fmt.Sprintf("host-%d.gen.test", costHosts+i) }

func (m *mesh) sendRequest(n int) { m.sent200(m.clients[n%costHosts*2]) }
func (m *mesh) sendRouted(n int)  { m.sent200(m.clients[n%costHosts*2+1]) }

func (m *mesh) sent200(k *kept) {
	if got := k.status(); got != http.StatusOK {
		m.t.Errorf("%s: status %d", k.host, got)
	}
}

// sendHello opens a TLS connection, and closes it after the first bytes of the server.
func (m *mesh) sendHello(n int) {
	hello := helloTo(plainHost(n % costHosts))
	conn := m.dialRaw(addrOther + ":443")
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write(hello); err != nil {
		m.t.Error(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 100)); err != nil {
		m.t.Error(err)
	}
}

var hellos sync.Map // by name

// helloTo is the first message of a TLS client.
func helloTo(name string) []byte {
	if h, ok := hellos.Load(name); ok {
		return h.([]byte)
	}
	w := &onlyWritten{}
	_ = tls.Client(w, &tls.Config{ServerName: name}).Handshake()
	hellos.Store(name, w.written.Bytes())
	return w.written.Bytes()
}

type onlyWritten struct {
	net.Conn
	written bytes.Buffer
}

func (w *onlyWritten) Write(b []byte) (int, error)    { return w.written.Write(b) }
func (*onlyWritten) Read([]byte) (int, error)         { return 0, errors.New("nothing to read") }
func (*onlyWritten) Close() error                     { return nil }
func (*onlyWritten) SetWriteDeadline(time.Time) error { return nil }

// inTurns loads each sidecar for ten seconds, and returns their processor time in seconds.
func inTurns(sidecars []*mesh, rate int, send func(*mesh, int)) []float64 {
	took := make([]float64, len(sidecars))
	for i, m := range sidecars {
		took[i] = -m.cpuTime()
	}
	for turn := range 10 {
		for i := range sidecars {
			if turn%2 == 1 {
				i = len(sidecars) - 1 - i
			}
			sidecars[i].loadFor(time.Second, rate, send)
		}
	}
	for i, m := range sidecars {
		took[i] += m.cpuTime()
	}
	return took
}

// loadFor sends at a rate, by four senders.
func (m *mesh) loadFor(while time.Duration, rate int, send func(*mesh, int)) {
	const senders = 4
	var wg sync.WaitGroup
	began := time.Now()
	for s := range senders {
		wg.Go(func() {
			for n := s; n < int(while.Seconds()*float64(rate)); n += senders {
				time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(rate))))
				send(m, n/senders)
			}
		})
	}
	wg.Wait()
}

// cpuTime is the sidecar's processor time in seconds, of all of its threads.
func (m *mesh) cpuTime() float64 {
	m.t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", m.pid))
	kit.Must(m.t, err)
	var total int64
	for _, path := range tasks {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		kit.Must(m.t, err)
		var ns int64
		_, err = fmt.Sscan(strings.Fields(string(text))[0], &ns)
		kit.Must(m.t, err)
		total += ns
	}
	return float64(total) / 1e9
}

func median(all []float64) float64 {
	s := slices.Sorted(slices.Values(all))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// spread is the median, with the smallest and the largest of all.
func spread(all []float64, format string) string {
	return fmt.Sprintf(format+" ("+format+" to "+format+")", median(all), slices.Min(all), slices.Max(all))
}
