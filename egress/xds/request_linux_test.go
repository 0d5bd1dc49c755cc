package xds

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
)

// BenchmarkRequest sends requests through a real sidecar with 1,000 entries, on
// keep-alive connections. It prints the sidecar's CPU time per request, and the
// ratio to a request to an undeclared host, which is the floor.
//
//	go test ./egress/xds -run ^$ -bench Request -benchtime 50000x
func BenchmarkRequest(b *testing.B) {
	m := newMesh(b, genNames(2))
	routed := routeOf(b, "shop", "routed", `{"hosts": ["host-1.gen.test"], "http": [{"timeout": "3s", "route": [{"destination": {"host": "host-1.gen.test"}}]}]}`)
	m.server.Publish(modelOf(b, "ALLOW_ANY", many(b, 1000), routed))
	m.settled()
	floor := 0.0
	for _, c := range []struct{ name, host, cluster string }{
		{"undeclared", "example.org", egress.PassthroughCluster},
		{"declared", "host-0.gen.test", "outbound|80||host-0.gen.test"},
		{"declared/Host=with-a-port", "host-0.gen.test:80", "outbound|80||host-0.gen.test"},
		{"routed", "host-1.gen.test", "outbound|80||host-1.gen.test"},
	} {
		b.Run(c.name, func(b *testing.B) {
			m.request(b, m.keep("HTTP", "http", c.host, addrOther, "80").client, c.host) // the first request waits for its cluster
			b.SetParallelism(4)                                                          // with less parallelism, most of the time is wake-ups
			before := m.cpu(b)
			b.RunParallel(func(pb *testing.PB) {
				client := m.keep("HTTP", "http", c.host, addrOther, "80").client
				for pb.Next() {
					m.request(b, client, c.host)
				}
			})
			cost := (m.cpu(b) - before) * 1e6 / float64(b.N)
			if c.name == "undeclared" {
				floor = cost
			}
			b.ReportMetric(cost, "sidecar-us/op")
			b.ReportMetric(cost/floor, "x-floor")
			m.logged(`"`+c.host+`"`, c.cluster)
		})
	}
}

func (m *mesh) request(b *testing.B, client *http.Client, host string) {
	resp, err := client.Get("http://" + host + "/")
	if err != nil {
		b.Error(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		b.Errorf("%s: status %d", host, resp.StatusCode)
	}
}

// cpu is the sidecar's CPU time in seconds, in the kernel's resolution of 10 ms.
func (m *mesh) cpu(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.pid))
	kit.Must(b, err)
	_, rest, _ := strings.Cut(string(text), ") ")
	fields, total := strings.Fields(rest), 0
	for _, f := range fields[11:13] { // user and system
		n, err := strconv.Atoi(f)
		kit.Must(b, err)
		total += n
	}
	return float64(total) / 100
}
