package webhook

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/outrider-mesh/outrider/webhook/registration"
)

// cost is the server's processor time for a request, in microseconds.
func (c *child) cost(b testing.TB, path string, bodies [][]byte, requests int) float64 {
	before := c.number(b, "/processor-time")
	var wg sync.WaitGroup
	const connections = 4
	for w := range connections {
		wg.Go(func() {
			for n := range requests / connections {
				if _, err := c.do(path, bodies[(w+n*connections)%len(bodies)]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return (c.number(b, "/processor-time") - before) / float64(requests)
}

// BenchmarkHTTPS compares the processor time of one admission over HTTPS with that of
// a bare server. The servers are processes of their own, and take turns.
func BenchmarkHTTPS(b *testing.B) {
	outrider, bare := startChild(b, "outrider"), startChild(b, "bare")
	bodies := make([][]byte, 256)
	for n := range bodies {
		bodies[n] = sleepReview(n, 0)
	}
	out, err := outrider.do(registration.InjectPath, bodies[0])
	if err != nil {
		b.Fatal(err)
	}
	written := len(out)
	inject, plain := registration.InjectPath, fmt.Sprintf("%s?bytes=%d", registration.InjectPath, written)
	outrider.cost(b, inject, bodies, 500) // warm
	bare.cost(b, plain, bodies, 500)
	var ratios, ours, theirs []float64
	for b.Loop() {
		o, p := outrider.cost(b, inject, bodies, 2000), bare.cost(b, plain, bodies, 2000)
		ratios, ours, theirs = append(ratios, o/p), append(ours, o), append(theirs, p)
	}
	for name, values := range map[string][]float64{"outrider-µs": ours, "bare-µs": theirs, "x-bare": ratios} {
		slices.Sort(values)
		b.ReportMetric(values[len(values)/2], name)
	}
	b.ReportMetric(float64(len(bodies[0])), "bytes-in")
	b.ReportMetric(float64(written), "bytes-out")
}
