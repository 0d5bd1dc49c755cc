package live

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/outrider-mesh/outrider/egress/report"
	"github.com/outrider-mesh/outrider/test/kit"
)

func requests(n uint64, host string) []report.DestinationReport {
	return []report.DestinationReport{{
		Destination: report.Destination{Host: host, Port: 80, Protocol: report.HTTP, Verdict: report.Blocked, Rule: "block_all"}, Counts: report.Counts{Requests: n},
	}}
}

// scraped are the series as "NAMESPACE VERDICT HOST COUNT", sorted.
func scraped(t *testing.T, b *busiest) (out []string) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	kit.Must(t, registry.Register(b))
	families, err := registry.Gather()
	kit.Must(t, err)
	for _, f := range families {
		for _, m := range f.Metric {
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			out = append(out, fmt.Sprintf("%s %s %s %.0f", labels["namespace"], labels["verdict"], labels["host"], m.Counter.GetValue()))
		}
	}
	return out
}

// TestBusiest: the busiest hosts have series with their counts, which change with the traffic.
func TestBusiest(t *testing.T) {
	now := time.Now()
	b := newBusiest(func() time.Time { return now })
	b.observe("shop", requests(4, "rare.test"))
	for i := range 12 {
		b.observe("shop", requests(uint64(100+i), fmt.Sprintf("h%02d.test", i)))
	}
	b.observe("bank", requests(7, "api.test"))
	want := "bank blocked api.test 7"
	for i := 2; i < 12; i++ {
		want += fmt.Sprintf("\nshop blocked h%02d.test %d", i, 100+i)
	}
	if got := strings.Join(scraped(t, b), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	now = now.Add(24 * time.Hour)
	b.observe("shop", requests(7, "other.test"))
	if got := strings.Join(scraped(t, b), "\n"); got != "shop blocked other.test 7" {
		t.Errorf("a day later: %s", got)
	}
}

// TestBusiest_Flood: a namespace that connects to a million names, or to others all the time,
// has a bounded number of series in a day, and takes none from another; memory is bounded.
func TestBusiest_Flood(t *testing.T) {
	now := time.Now()
	b := newBusiest(func() time.Time { return now })
	ever := map[string]bool{}
	n := 0
	for range 24 * 60 {
		now = now.Add(time.Minute)
		for range 700 {
			n++
			b.observe("names", requests(1, fmt.Sprintf("%d.test", n)))
		}
		for range 5 { // busy for a minute each
			n++
			b.observe("moves", requests(100_000, fmt.Sprintf("%d.test", n)))
		}
		b.observe("quiet", requests(10, "api.test"))
		shown := scraped(t, b)
		of := map[string]int{}
		for _, s := range shown {
			f := strings.Fields(s)
			of[f[0]]++
			ever[f[0]+" "+f[2]] = true
		}
		if len(shown) > busiestHosts || of["names"] > busiestOfNamespace || of["moves"] > busiestOfNamespace || of["quiet"] != 1 {
			t.Fatalf("%v series of %v", len(shown), of)
		}
	}
	of := map[string]int{}
	for s := range ever {
		of[strings.Fields(s)[0]]++
	}
	t.Logf("series in a day: %v", of)
	if most := busiestOfNamespace + 24*newSeriesPerHour; of["moves"] > most || of["names"] > most || of["moves"] < 10 {
		t.Errorf("series in a day: %v", of)
	}
	if kept := len(b.namespaces["names"].of); kept > counted {
		t.Errorf("%d hosts are counted", kept)
	}
	for i := range 3 * countedNamespaces {
		b.observe(fmt.Sprintf("ns-%d", i), requests(1000, "a.test"))
	}
	if got := len(scraped(t, b)); len(b.namespaces) > countedNamespaces || got != busiestHosts {
		t.Errorf("%d namespaces are counted, %d series", len(b.namespaces), got)
	}
}

// BenchmarkBusiest counts hosts that are counted already, and ever new ones.
func BenchmarkBusiest(b *testing.B) {
	for name, hosts := range map[string]int{"known": 10, "new": 100_000} {
		b.Run(name, func(b *testing.B) {
			count, all := newBusiest(time.Now), [][]report.DestinationReport{}
			for i := range hosts {
				all = append(all, requests(1, fmt.Sprintf("host-%d.example.com", i)))
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				count.observe("shop", all[i%hosts])
			}
		})
	}
}
