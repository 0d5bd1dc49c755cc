package certs

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/cache"

	"github.com/outrider-mesh/outrider/internal/debounce"
)

const (
	// quiet is the time between a change and its pass, which covers the changes
	// that follow meanwhile.
	quiet = 50 * time.Millisecond
	// A failed pass is retried after firstRetry, then after twice as long each
	// time, up to lastRetry.
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// loop repeats a pass over everything: when it is triggered, and periodically. To
// the signal of internal/debounce it adds the period and the retries.
type loop struct{ changed debounce.Signal }

func newLoop() loop { return loop{debounce.New()} }

// trigger requests a pass.
func (l loop) trigger() { l.changed.Notify() }

// run repeats pass until ctx ends.
func (l loop) run(ctx context.Context, every time.Duration, log logr.Logger, pass func(context.Context) error) {
	retry := firstRetry
	for ctx.Err() == nil {
		wait := every
		if err := pass(ctx); err != nil && ctx.Err() == nil {
			log.Error(err, "retrying", "after", retry.String())
			wait = min(retry, every)
			retry = min(2*retry, lastRetry)
		} else {
			retry = firstRetry
		}
		due, cancel := context.WithTimeout(ctx, wait)
		_ = l.changed.Wait(due, quiet, quiet) // a change, or the time is up
		cancel()
	}
}

// onAny calls f whenever an object of an informer has changed.
func onAny(f func()) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { f() },
		UpdateFunc: func(any, any) { f() },
		DeleteFunc: func(any) { f() },
	}
}
