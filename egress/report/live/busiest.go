package live

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/outrider-mesh/outrider/egress/report"
)

// The hosts of workloads are their choice, and each series that ever existed costs a
// Prometheus memory for hours. So the busiest hosts alone have series, and only as many
// new ones appear in an hour as limits allow.
const (
	// busiestHosts have a series; those of one namespace are busiestOfNamespace of them.
	busiestHosts       = 100
	busiestOfNamespace = 10
	// newSeriesPerHour are those of a namespace, after busiestOfNamespace at once: 250 a day,
	// whatever its workloads connect to.
	newSeriesPerHour = 10
	// counted are the hosts of a namespace that are counted, by Space-Saving (Metwally and
	// others, 2005): a host that is not among them replaces the one with the lowest count,
	// and has that as its error. One takes some 350 bytes, with the longest name 600.
	counted = 20
	// countedNamespaces are those with reports in the last hours: 2,000 take 24 MB at most,
	// and 14 MB with ordinary names. Others have no series.
	countedNamespaces = 2000
	// halving is the time in which a count loses half of its weight.
	halving = 10 * time.Minute
	// leastCount is that of a host with a series, without its error.
	leastCount = 5
)

// hostOf is a series.
type hostOf struct {
	verdict report.Verdict
	host    string
}

// hostCount is the count of a host. weight and err lose their weight with time, total does
// not.
type hostCount struct {
	hostOf
	weight, err float64
	total       float64
	shown       bool
}

type hostsIn struct {
	of     []*hostCount // at most counted: found faster than in a map
	series *rate.Limiter
}

// busiest counts what hosts are connected to.
type busiest struct {
	now func() time.Time

	mu         sync.Mutex
	halved     time.Time
	namespaces map[string]*hostsIn
}

func newBusiest(now func() time.Time) *busiest {
	return &busiest{now: now, halved: now(), namespaces: map[string]*hostsIn{}}
}

// observe counts destinations of a namespace.
func (b *busiest) observe(namespace string, all []report.DestinationReport) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.decay()
	in := b.namespaces[namespace]
	if in == nil {
		if len(b.namespaces) >= countedNamespaces {
			return
		}
		in = &hostsIn{series: rate.NewLimiter(rate.Every(time.Hour/newSeriesPerHour), busiestOfNamespace)}
		b.namespaces[namespace] = in
	}
	for i := range all {
		if n := float64(all[i].Connections) + float64(all[i].Requests); n > 0 {
			in.count(hostOf{all[i].Verdict, all[i].Host}, n)
		}
	}
}

func (in *hostsIn) count(host hostOf, n float64) {
	var least *hostCount
	for _, c := range in.of {
		if c.hostOf == host {
			c.weight += n
			c.total += n
			return
		}
		if least == nil || c.weight < least.weight {
			least = c
		}
	}
	if len(in.of) < counted {
		in.of = append(in.of, &hostCount{hostOf: host, weight: n, total: n})
		return
	}
	*least = hostCount{hostOf: host, weight: least.weight + n, err: least.weight, total: n}
}

// decay halves all weights for each time that has passed, and forgets what has none.
func (b *busiest) decay() {
	now := b.now()
	times := int(now.Sub(b.halved) / halving)
	if times <= 0 {
		return
	}
	b.halved = b.halved.Add(time.Duration(times) * halving)
	left := math.Ldexp(1, -times)
	for namespace, in := range b.namespaces {
		in.of = slices.DeleteFunc(in.of, func(c *hostCount) bool {
			c.weight, c.err = c.weight*left, c.err*left
			return c.weight < 0.1
		})
		if len(in.of) == 0 && in.series.TokensAt(now) >= busiestOfNamespace {
			delete(b.namespaces, namespace)
		}
	}
}

// series is a host with its count.
type series struct {
	namespace string
	*hostCount
}

// list selects the busiest hosts: one that has a series keeps it until another is half as
// busy again.
func (b *busiest) list() (all []series) {
	b.decay()
	for namespace, in := range b.namespaces {
		var own []series
		for _, c := range in.of {
			if c.shown || c.weight-c.err >= max(c.err, leastCount) {
				own = append(own, series{namespace, c})
			}
		}
		slices.SortFunc(own, bySeries)
		for i, s := range own {
			if i >= busiestOfNamespace {
				s.shown = false
				continue
			}
			all = append(all, s)
		}
	}
	slices.SortFunc(all, bySeries)
	var out []series
	now := b.now()
	for _, s := range all {
		switch {
		case len(out) >= busiestHosts:
			s.shown = false
		case s.shown || b.namespaces[s.namespace].series.AllowN(now, 1):
			s.shown = true
			out = append(out, s)
		}
	}
	return out
}

func bySeries(a, b series) int {
	return cmp.Or(cmp.Compare(b.rank(), a.rank()), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.host, b.host), cmp.Compare(a.verdict, b.verdict))
}

func (s series) rank() float64 {
	if s.shown {
		return 1.5 * s.weight
	}
	return s.weight - s.err
}

var busiestDesc = prometheus.NewDesc("outrider_egress_busiest_hosts_total",
	"Connections and requests to the busiest undeclared hosts that sidecars reported to this replica, by namespace, verdict and host: at most 100 hosts, and 10 of a namespace. The count begins again for a host that was not among them.",
	[]string{"namespace", "verdict", "host"}, nil)

// collect are the series with their counts.
func (b *busiest) collect() (out []prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.list() {
		out = append(out, prometheus.MustNewConstMetric(busiestDesc, prometheus.CounterValue, s.total, s.namespace, string(s.verdict), s.host))
	}
	return out
}

// Describe is that of a prometheus.Collector.
func (b *busiest) Describe(to chan<- *prometheus.Desc) { to <- busiestDesc }

// Collect is that of a prometheus.Collector.
func (b *busiest) Collect(to chan<- prometheus.Metric) {
	for _, m := range b.collect() {
		to <- m
	}
}
