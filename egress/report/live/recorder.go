package live

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/outrider-mesh/outrider/egress/report"
)

// Options of a Recorder.
type Options struct {
	// Pods requires get on pods.
	Pods coreclient.PodsGetter
	// Dynamic requires get, list, create, update and delete on egressreports. The Recorder
	// has a rate limit of its own.
	Dynamic dynamic.Interface
	// Metadata requires get on the kinds of workloads, for the UIDs that Events have; nil:
	// they have none.
	Metadata metadata.Interface
	// Identity is the replica's own, and unique.
	Identity string
	// Retention is how long a destination is kept that is not seen again; 0 means
	// DefaultRetention.
	Retention time.Duration
	// Interval is the least time between two writes of an object, 0 means
	// DefaultInterval, and Counts that of writes which only change counts and times, 0 means
	// ten times Interval.
	Interval, Counts time.Duration
	// Events are those on workloads with blocked destinations; nil: there are none.
	Events Events
	Log    logr.Logger
	// Registry registers the metrics; nil: they are not registered.
	Registry prometheus.Registerer
}

// DefaultInterval makes at most 17 writes a second of 1,000 namespaces.
const DefaultInterval = time.Minute

// DefaultRetention keeps a Job of each week.
const DefaultRetention = 15 * 24 * time.Hour

const (
	// pendingBytes is the memory for what is not written yet. An entry takes some 400 bytes,
	// and counts as 260 and its texts: 50,000 entries. It takes 32 namespaces that have as
	// much as an object has. Then a namespace may have no more than leastPending, some 30
	// entries, until the next write: 8 MiB for 1,000 namespaces.
	pendingBytes = 16 << 20
	leastPending = 8 << 10
	// knownDestinations are remembered of a namespace, to find what is new. One takes 20
	// bytes, so 1,000 namespaces take 10 MB. More are written with the counts.
	knownDestinations = 500
	// settle is the time for more destinations before the first write.
	settle = 5 * time.Second
	// forget is how long an idle namespace is remembered.
	forget = time.Hour
	// writesPerSecond leaves the API server capacity for other clients.
	writesPerSecond = 20
)

// Recorder is what a server reports to. Its methods may be called concurrently.
type Recorder struct {
	options   Options
	metrics   *metrics
	limit     *rate.Limiter
	pods      *rate.Limiter
	workloads *cache.LRUExpireCache // report.Workload by xds.Identity
	flight    singleflight.Group
	seed      maphash.Seed
	now       func() time.Time
	retry     wait.Backoff // of a sweep
	announcer *announcer

	mu         sync.Mutex
	namespaces map[string]*pending
	bytes      int // of all namespaces
	writes     int
}

// pending is what is to be written of a namespace.
type pending struct {
	table     *report.Table
	unwritten *batch          // that is being written, or could not be
	busy      bool            // it is being written
	known     map[uint64]bool // destinations that the object has, by their hash
	fresh     bool            // there are destinations that it has not
	since     time.Time       // the first of these, or of the counts
	wrote     time.Time       // the object
	failed    time.Time       // the last attempt
}

// New makes a recorder.
func New(o Options) (*Recorder, error) {
	o.Retention, o.Interval, o.Counts = cmp.Or(o.Retention, DefaultRetention), cmp.Or(o.Interval, DefaultInterval), cmp.Or(o.Counts, 10*cmp.Or(o.Interval, DefaultInterval))
	r := &Recorder{
		options: o, limit: rate.NewLimiter(writesPerSecond, 1), pods: rate.NewLimiter(podsPerSecond, podsPerSecond),
		workloads: cache.NewLRUExpireCache(cachedPods), seed: maphash.MakeSeed(), now: time.Now, retry: sweepRetry, namespaces: map[string]*pending{},
	}
	r.announcer = newAnnouncer(o.Events, func() time.Time { return r.now() })
	r.announcer.uid = r.uid
	var err error
	r.metrics, err = newMetrics(o.Registry, func() time.Time { return r.now() }, r.pendingBytes)
	return r, err
}

func (r *Recorder) pendingBytes() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return float64(r.bytes)
}

// destinationOf is what is remembered of an entry.
type destinationOf struct {
	workload    report.Workload
	destination report.Destination
}

func (r *Recorder) hash(w report.Workload, d report.Destination) uint64 {
	return maphash.Comparable(r.seed, destinationOf{w, d})
}

// Observe counts destinations of a workload.
func (r *Recorder) Observe(namespace string, w report.Workload, all []report.DestinationReport) {
	if len(all) == 0 {
		return
	}
	r.metrics.count(namespace, all)
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.namespaces[namespace]
	if p == nil {
		p = &pending{table: report.NewTable(report.DefaultLimits)}
		r.namespaces[namespace] = p
		r.bytes += p.table.Bytes()
	}
	if p.table.Empty() {
		p.since = r.now()
		p.table.Limit(report.DefaultLimits.Bytes)
	}
	before := p.table.Bytes()
	if r.bytes > pendingBytes {
		p.table.Limit(leastPending)
	}
	for _, d := range all {
		if p.table.Observe(w, d.Destination, d.Counts) && len(p.known) < knownDestinations && !p.known[r.hash(w, d.Destination)] {
			p.fresh = true
		}
	}
	r.bytes += p.table.Bytes() - before
}

// due are the namespaces that are to be written now.
func (r *Recorder) due() (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for namespace, p := range r.namespaces {
		interval := r.options.Counts
		if p.fresh || p.wrote.IsZero() {
			interval = r.options.Interval
		}
		switch {
		case p.table.Empty() && p.unwritten == nil:
			if now.Sub(p.wrote) > forget {
				r.bytes -= p.table.Bytes()
				delete(r.namespaces, namespace)
			}
		case now.Sub(p.wrote) >= interval && now.Sub(p.failed) >= min(interval, r.options.Interval) && now.Sub(p.since) >= min(settle, interval):
			out = append(out, namespace)
		}
	}
	return out
}

// batch is what is written at once. A write that has failed may have been successful: the
// object has the ID of the latest one.
type batch struct {
	id    string
	table *report.Table
	// blocked are the destinations that the last attempt has added to the object.
	blocked []destinationOf
}

// take is the next batch of a namespace; nil if there is none. One that has failed is
// taken again, as it was.
func (r *Recorder) take(namespace string) *batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.namespaces[namespace]
	switch {
	case p == nil || p.busy:
		return nil
	case p.unwritten == nil && p.table.Empty():
		return nil
	case p.unwritten == nil:
		r.writes++
		p.unwritten = &batch{id: fmt.Sprintf("%s %d", r.options.Identity, r.writes), table: p.table}
		p.table, p.fresh = report.NewTable(report.DefaultLimits), false
		r.bytes += p.table.Bytes()
	}
	p.busy = true
	return p.unwritten
}

// failed plans another attempt.
func (r *Recorder) failed(namespace string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.namespaces[namespace]; p != nil {
		p.busy, p.fresh, p.failed = false, true, r.now()
	}
}

// written remembers what the object has.
func (r *Recorder) written(namespace string, table *report.Table) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.namespaces[namespace]
	if p == nil {
		return
	}
	if p.unwritten != nil {
		r.bytes -= p.unwritten.table.Bytes()
		p.unwritten = nil
	}
	p.busy, p.wrote, p.known = false, r.now(), map[uint64]bool{}
	table.Each(func(w report.Workload, d report.Destination, _ report.Counts) {
		if len(p.known) < knownDestinations {
			p.known[r.hash(w, d)] = true
		}
	})
}
