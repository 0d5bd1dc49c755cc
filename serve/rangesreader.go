package serve

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/ranges/live"
)

// rangesReader hands what the cluster shows of its own ranges to the loader, and again
// after each change. It is a manager's runnable.
type rangesReader struct {
	cluster *live.Cluster
	loader  *loader
	log     logr.Logger
	first   chan struct{} // closed after the first reading, whatever came of it
	told    bool
	failure string // of the latest reading
}

func newRanges(mgr manager.Manager, l *loader, o Options) (*rangesReader, error) {
	cluster, err := live.New(mgr.GetConfig(), live.Options{})
	if err != nil {
		return nil, err
	}
	return &rangesReader{cluster: cluster, loader: l, log: o.Log.WithName("ranges"), first: make(chan struct{})}, nil
}

// NeedLeaderElection tells the manager that every replica follows.
func (r *rangesReader) NeedLeaderElection() bool { return false }

// Start follows until ctx ends.
func (r *rangesReader) Start(ctx context.Context) error {
	r.cluster.Follow(ctx, live.Pace{}, r.take)
	return nil
}

// take hands a reading on, and reports whether it told all. One that failed
// changes nothing.
func (r *rangesReader) take(s *live.Snapshot, err error) (enough bool) {
	if err == nil {
		r.failure = ""
		r.loader.learned(s.Data)
		result := s.Data.Resolve(ranges.Options{Live: true})
		enough = result.Known()
	} else if r.failure != err.Error() {
		r.failure = err.Error()
		r.log.Error(err, "the cluster's ranges could not be read; trying again")
		r.loader.evidence.fail(fmt.Sprintf("the cluster's ranges could not be read: %v", err))
	}
	if !r.told {
		r.told = true
		close(r.first)
	}
	return enough
}

// firstReading bounds how long a start waits for evidence: a configuration that
// needs it is refused without.
const firstReading = 10 * time.Second

// wait returns after the first reading, or when there was time enough for it.
func (r *rangesReader) wait(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-r.first:
	case <-time.After(firstReading):
	}
}
