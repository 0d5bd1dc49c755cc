// Package debounce waits for the end of a burst of changes, so that changes in quick
// succession are processed once.
//
// What a caller may assume: a Signal may be notified by any number of goroutines
// and never makes them wait; notifications that were not received yet count as one;
// one goroutine waits for them.
package debounce

import (
	"context"
	"time"
)

// Signal reports that something has changed.
type Signal chan struct{}

// New makes a signal of nothing yet.
func New() Signal { return make(Signal, 1) }

// Notify signals that something has changed. It never blocks.
func (s Signal) Notify() {
	select {
	case s <- struct{}{}:
	default: // one is pending already
	}
}

// Wait waits for the first notification, and then until none has come for quiet, but
// no longer than longest. It fails only with the context's error.
func (s Signal) Wait(ctx context.Context, quiet, longest time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s:
	}
	end := time.NewTimer(longest)
	defer end.Stop()
	pause := time.NewTimer(quiet)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pause.C:
			return nil
		case <-end.C:
			return nil
		case <-s:
			pause.Reset(quiet)
		}
	}
}
