// Package debounce waits for the end of a burst of changes, so that what comes
// close together is worked on once.
//
// What a caller may assume: a Signal may be raised by any number of goroutines
// and never makes them wait; raises that nobody has taken yet count as one; one
// goroutine takes them.
package debounce

import (
	"context"
	"time"
)

// Signal says that something has changed.
type Signal chan struct{}

// New makes a signal that is not raised.
func New() Signal { return make(Signal, 1) }

// Raise says that something has changed.
func (s Signal) Raise() {
	select {
	case s <- struct{}{}:
	default: // one is waiting already
	}
}

// Wait waits for the first raise, and then until none has come for quiet, but no
// longer than longest. It fails only with the context's error.
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
