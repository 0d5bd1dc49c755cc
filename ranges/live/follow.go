package live

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/outrider-mesh/outrider/internal/debounce"
)

// Pace is how often to read. Zero fields mean the defaults.
type Pace struct {
	// Quiet is how long nothing changes before a change is read; 200 ms.
	Quiet time.Duration
	// Again is when all is read although no change was seen: sources that are not
	// watched, addresses in use, permissions granted since; 10 min.
	Again time.Duration
	// Soon is the interval after an incomplete reading, at first; it doubles
	// each time, up to Again. What was missing may be a ConfigMap or a permission, which
	// nothing watches; 10 s.
	Soon time.Duration
	// Retry is the pause after a reading that failed; 5 s.
	Retry time.Duration
	// Timeout bounds one reading; 2 min.
	Timeout time.Duration
}

func (p Pace) withDefaults() Pace {
	for _, d := range []struct {
		at    *time.Duration
		value time.Duration
	}{{&p.Quiet, 200 * time.Millisecond}, {&p.Again, 10 * time.Minute}, {&p.Soon, 10 * time.Second}, {&p.Retry, 5 * time.Second}, {&p.Timeout, 2 * time.Minute}} {
		if *d.at <= 0 {
			*d.at = d.value
		}
	}
	return p
}

// Follow reads the cluster, again after every change of what it may watch, and
// from time to time, until ctx ends. handle gets each reading, or the error, on
// one goroutine, and reports whether the reading was complete.
func (c *Cluster) Follow(ctx context.Context, p Pace, handle func(*Snapshot, error) bool) {
	p = p.withDefaults()
	soon := p.Soon
	for ctx.Err() == nil {
		s, err := c.gatherWithin(ctx, p.Timeout)
		if ctx.Err() != nil {
			return
		}
		complete := handle(s, err)
		switch {
		case err != nil:
			wait(ctx, p.Retry)
		case complete:
			soon = p.Soon
			s.waitForChange(ctx, p, p.Again)
		default:
			s.waitForChange(ctx, p, min(soon, p.Again))
			soon = min(2*soon, p.Again)
		}
	}
}

func (c *Cluster) gatherWithin(ctx context.Context, timeout time.Duration) (*Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return c.Gather(ctx)
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// waitForChange returns some time after a change, or when it is time anyway.
func (s *Snapshot) waitForChange(ctx context.Context, p Pace, longest time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	changed := debounce.New()
	for _, w := range s.watches {
		go w.run(ctx, p.Retry, changed.Notify)
	}
	_ = changed.Wait(ctx, p.Quiet, 10*p.Quiet) // the end of the time is a reason to read again, too
}

// watched is a list that can be followed from a version on. It is not an informer,
// which would keep every object in memory: a fingerprint of each is enough.
type watched struct {
	name    string
	version string
	open    func(context.Context, metav1.ListOptions) (watch.Interface, error)
	seen    map[string]string // fingerprint of each object, by name
}

// run signals changes until ctx ends. Where a watch is forbidden it stops:
// the list is read from time to time.
func (w watched) run(ctx context.Context, retry time.Duration, signal func()) {
	for ctx.Err() == nil {
		events, err := w.open(ctx, metav1.ListOptions{ResourceVersion: w.version, AllowWatchBookmarks: true})
		switch {
		case err == nil:
			err = w.follow(ctx, events, signal)
			events.Stop()
		case statusOf(err) != "":
			return // forbidden, or not there any more
		}
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			signal() // something may have been missed
			return
		}
		// A server ends watches after some minutes; a connection that breaks at
		// once must not be reopened in a loop.
		wait(ctx, min(retry, time.Second))
	}
}

// follow reads events until there are no more. The error is the server's.
func (w *watched) follow(ctx context.Context, events watch.Interface, signal func()) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-events.ResultChan():
			switch {
			case !ok:
				return nil
			case e.Type == watch.Error:
				return apierrors.FromObject(e.Object)
			}
			if w.changed(e) {
				signal()
			}
		}
	}
}

// changed records an event, and reports whether a relevant field changed.
func (w *watched) changed(e watch.Event) bool {
	o, ok := e.Object.(metav1.Object)
	if !ok {
		return false
	}
	w.version = o.GetResourceVersion()
	before, known := w.seen[o.GetName()]
	switch e.Type {
	case watch.Deleted:
		delete(w.seen, o.GetName())
		return known
	case watch.Added, watch.Modified:
		w.seen[o.GetName()] = relevantFields(e.Object)
		return !known || before != w.seen[o.GetName()]
	}
	return false
}

// relevantFields is the fingerprint of an object's relevant fields.
func relevantFields(o runtime.Object) string {
	switch o := o.(type) {
	case *corev1.Node:
		return fingerprint(slimNode(o))
	case *unstructured.Unstructured:
		return fingerprint(slimObject(o))
	}
	return fingerprint(o)
}
