package certs

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/cache"
)

const (
	// quiet is the time after a change until it is looked at, together with
	// those that come with it.
	quiet = 50 * time.Millisecond
	// A pass that failed is repeated after firstRetry, then twice as long each
	// time, up to lastRetry.
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// loop repeats a pass over everything: when it is poked, and now and then.
type loop chan struct{}

func newLoop() loop { return make(loop, 1) }

// poke asks for a pass.
func (l loop) poke() {
	select {
	case l <- struct{}{}:
	default: // one is due already
	}
}

// run repeats pass until ctx ends.
func (l loop) run(ctx context.Context, every time.Duration, log logr.Logger, pass func(context.Context) error) {
	retry := firstRetry
	for {
		wait := every
		if err := pass(ctx); err != nil && ctx.Err() == nil {
			log.Error(err, "trying again", "after", retry.String())
			wait = min(retry, every)
			retry = min(2*retry, lastRetry)
		} else {
			retry = firstRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
			continue
		case <-l:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(quiet):
		}
		select { // what came meanwhile is part of this pass
		case <-l:
		default:
		}
	}
}

// onAny calls f whenever anything an informer follows has changed.
func onAny(f func()) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { f() },
		UpdateFunc: func(any, any) { f() },
		DeleteFunc: func(any) { f() },
	}
}
