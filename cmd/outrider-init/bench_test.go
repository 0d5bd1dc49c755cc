//go:build linux

package main

import (
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/redirect"
	"github.com/outrider-mesh/outrider/redirect/kernel"
	"github.com/outrider-mesh/outrider/test/kit/netns"
)

const many = 50_000

func median[T int64 | float64](v []T) T {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

// BenchmarkSetUp is the whole program, from its start to its exit: parse,
// apply, verify. Medians; the limit for 50,000 ranges is 0.6 s and
// 60 MB.
func BenchmarkSetUp(b *testing.B) {
	for _, n := range []int{10, 1000, many} {
		b.Run(map[int]string{10: "10", 1000: "1000", many: "50000"}[n], func(b *testing.B) {
			pod := netns.NewPod(b)
			args := append([]string{"-i", "*", "-x"}, pieces("-x", ranges(n))...)
			var took, rss []float64
			for b.Loop() {
				cmd, _, stderr := command(nil, args...)
				begun := time.Now()
				if err := pod.Start(cmd); err != nil {
					b.Fatal(err)
				}
				if err := cmd.Wait(); err != nil {
					b.Fatalf("%v: %s", err, stderr)
				}
				took = append(took, float64(time.Since(begun).Microseconds())/1000)
				rss = append(rss, float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)/1000)
			}
			b.ReportMetric(median(took), "ms/setup")
			b.ReportMetric(median(rss), "MB-rss")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkExcludedConnect is connections to an excluded address with 50,000
// ranges against the same in a pod with no rules at all. Both pods are measured
// in short turns of one run, so that what else the machine does falls on both;
// the ratio of the medians is to be at least 0.9.
func BenchmarkExcludedConnect(b *testing.B) {
	none, ruled := netns.NewPod(b), netns.NewPod(b)
	all := planOf(b, append([]string{"-i", "*", "-x"}, pieces("-x", ranges(many))...))
	last := netip.MustParseAddrPort("20.195.79.1:80") // in the last of the ranges
	if d := all.Decide(redirect.Connection{Destination: last}); d.Reason != redirect.ReasonExcludedRange {
		b.Fatalf("%s is not excluded: %s", last, d)
	}
	ruled.Do(func() {
		if err := kernel.Apply(all); err != nil {
			b.Error(err)
		}
	})
	two := func(p *netns.Pod) []*netns.NS { return []*netns.NS{p.Join(b), p.Join(b)} }
	x, y := two(none), two(ruled)
	var without, with []float64
	for b.Loop() {
		for turn := range 20 {
			if turn%2 == 0 {
				without, with = append(without, rate(b, x, last)), append(with, rate(b, y, last))
			} else {
				with, without = append(with, rate(b, y, last)), append(without, rate(b, x, last))
			}
		}
	}
	b.ReportMetric(median(without), "conn/s-no-rules")
	b.ReportMetric(median(with), "conn/s-50000")
	b.ReportMetric(median(with)/median(without), "ratio")
	b.ReportMetric(0, "ns/op")
}

// rate is connections per second of all threads over a short turn.
func rate(b *testing.B, threads []*netns.NS, to netip.AddrPort) float64 {
	const span = 50 * time.Millisecond
	var wg sync.WaitGroup
	counts := make([]int, len(threads))
	begun := time.Now()
	for i, n := range threads {
		wg.Add(1)
		go n.Do(func() {
			defer wg.Done()
			for time.Since(begun) < span {
				if who, err := netns.Connect("tcp", to, 0, 0); who != "world" {
					b.Errorf("%s reached %q, %v", to, who, err)
					return
				}
				counts[i]++
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, c := range counts {
		sum += c
	}
	return float64(sum) / time.Since(begun).Seconds()
}
