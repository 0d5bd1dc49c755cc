package serve

import (
	"sync"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/ranges"
)

// evidence is what is known of the cluster's ranges, and what the configuration
// in force makes of it.
type evidence struct {
	mu    sync.Mutex
	facts *ranges.ClusterData // nil: nothing was read yet
	why   string              // there are no facts
	// held is what the names stand for under the configuration in force, which
	// says that the platform is heldFor.
	held    *ranges.NamedRanges
	heldFor string
}

// names is what the names in range lists stand for under a configuration. Where
// evidence was lost, the ranges stay.
func (e *evidence) names(c *config.Config) *ranges.NamedRanges {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.facts == nil {
		why := e.why
		if why == "" {
			why = "the cluster's ranges were not read yet"
		}
		return ranges.NoCluster(why)
	}
	next := inject.RangeNames(c, e.facts, true)
	if e.held == nil || e.heldFor != c.Values.Global.Platform {
		return next
	}
	return ranges.Keep(e.held, next)
}

// hold notes what is in force.
func (e *evidence) hold(i *inject.Injector) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held, e.heldFor = i.RangeNames(), i.Config().Values.Global.Platform
}

func (e *evidence) learn(facts *ranges.ClusterData) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.facts = facts
}

// fail says why there is no evidence. What was known stays.
func (e *evidence) fail(why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.why = why
}
