package active

import (
	"context"
	"sync"
	"time"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/ranges"
)

// evidence is what is known of the cluster's ranges.
type evidence struct {
	first chan struct{} // closed after the first reading, successful or not
	once  sync.Once

	mu      sync.Mutex
	data    *ranges.ClusterData // nil before the first successful reading
	failure string              // of the latest reading
}

// SetRanges applies a reading of the cluster's ranges, or its error, which keeps
// the ranges read before. It reports whether the reading is complete.
func (h *Holder) SetRanges(data *ranges.ClusterData, err error) (complete bool) {
	defer h.ranges.once.Do(func() { close(h.ranges.first) })
	if err != nil {
		if h.ranges.fail(err) {
			h.options.Log.Error(err, "cannot read cluster CIDRs, retrying")
		}
		return false
	}
	h.ranges.set(data)
	h.reload()
	result := data.Resolve(ranges.Options{Live: true})
	return result.Known()
}

func (e *evidence) set(data *ranges.ClusterData) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.data, e.failure = data, ""
}

// fail reports whether the failure is another one than that of the reading before.
func (e *evidence) fail(err error) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.failure
	e.failure = err.Error()
	return before != e.failure
}

// names resolves the names in range lists under a configuration. Where the source
// of ranges in use was lost, they stay.
func (e *evidence) names(c *config.Config, current *Snapshot) *ranges.NamedRanges {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.data == nil {
		if e.failure != "" {
			return ranges.NoCluster("cannot read cluster CIDRs: " + e.failure)
		}
		return ranges.NoCluster("cluster CIDRs are not loaded yet")
	}
	next := inject.RangeNames(c, e.data, true)
	if current == nil || current.Config.Values.Global.Platform != c.Values.Global.Platform {
		return next
	}
	return ranges.Keep(current.Injector.RangeNames(), next)
}

// firstReading bounds how long a start waits for the ranges.
const firstReading = 10 * time.Second

// wait returns after the first reading, or when there was time enough for it.
func (e *evidence) wait(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-e.first:
	case <-time.After(firstReading):
	}
}
