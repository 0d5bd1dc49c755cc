package webhook

import (
	"context"
	"time"
)

// awaitConfiguration holds a request while the replica starts: a container that was
// killed gets requests as soon as it listens again, for its pod is still an endpoint of
// the Service. It takes no place meanwhile. What bounds those that wait for a place bounds
// these, too: the limits of connections, and of the memory of bodies.
//
// Of the 5 s that the API server waits, a request waits at most
//
//	2 s    for the configuration
//	0.5 s  for its place, if the configuration is there or not
//
// so that the answer arrives. A configuration that was read and is invalid is not waited
// for.
func (h *handler) awaitConfiguration(ctx context.Context) {
	if h.Loaded == nil {
		return
	}
	select {
	case <-h.Loaded:
		return
	default:
	}
	h.Metrics.held.Inc()
	limit := defaultWait
	if deadline, ok := ctx.Deadline(); ok {
		limit = time.Until(deadline)
	}
	timer := time.NewTimer(limit * 4 / 5)
	defer timer.Stop()
	select {
	case <-h.Loaded:
	case <-timer.C:
	case <-ctx.Done():
	}
}
