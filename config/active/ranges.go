package active

import (
	"context"
	"encoding/json"
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
// of ranges in use was lost, they stay, also those that were stored before a restart.
func (e *evidence) names(c *config.Config, last lastRanges) *ranges.NamedRanges {
	e.mu.Lock()
	defer e.mu.Unlock()
	next := e.known(c)
	if last.names == nil || last.Platform != c.Values.Global.Platform {
		return next
	}
	return ranges.Keep(last.names, next)
}

func (e *evidence) known(c *config.Config) *ranges.NamedRanges {
	switch {
	case e.data != nil:
		return inject.RangeNames(c, e.data, true)
	case e.failure != "":
		return ranges.NoCluster("cannot read cluster CIDRs: " + e.failure)
	}
	return ranges.NoCluster("cluster CIDRs are not loaded yet")
}

// lastRanges are the ranges in use, and the platform that the configuration specifies:
// for another one they would be other ranges.
type lastRanges struct {
	Platform string          `json:"platform,omitempty"`
	Ranges   json.RawMessage `json:"ranges"`

	names *ranges.NamedRanges
}

// rangesOf are those of a snapshot.
func rangesOf(s *Snapshot) lastRanges {
	return lastRanges{Platform: s.Config.Values.Global.Platform, names: s.Injector.RangeNames()}
}

// stored is the form in which a record has them; nil where they are not known.
func (l lastRanges) stored() json.RawMessage {
	if l.Ranges = l.names.Stored(); l.Ranges == nil {
		return nil
	}
	text, err := json.Marshal(l)
	if err != nil {
		return nil // only strings
	}
	return text
}

// restoredRanges are those of a record; the zero value where it has none.
func restoredRanges(text json.RawMessage) (l lastRanges) {
	var err error
	if json.Unmarshal(text, &l) != nil {
		return lastRanges{}
	}
	if l.names, err = ranges.Restored(l.Ranges); err != nil {
		return lastRanges{}
	}
	return l
}

// StoredRanges are the ranges of a record of the history, as a replica had them: nil where
// it has none. The addresses of the API server are not stored.
func StoredRanges(r config.Record) *ranges.NamedRanges { return restoredRanges(r.Ranges).names }

// same reports whether two are the same for what is injected: their evidence, of
// which a message has the text, may be of other objects.
func (l lastRanges) same(o lastRanges) bool {
	return l.names != nil && o.names != nil && l.Platform == o.Platform &&
		l.names.Platform == o.names.Platform && ranges.SameCluster(l.names, o.names)
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
