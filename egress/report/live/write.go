package live

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"

	"github.com/outrider-mesh/outrider/egress/report"
)

const (
	writeTimeout = 10 * time.Second
	// lastWrites is the time for writes when the replica stops.
	lastWrites = 5 * time.Second
	// tick is how often due namespaces are looked for.
	tick = time.Second
	// attempts are those of a write that conflicts with another replica's.
	attempts = 10
	// sweepInterval is how often objects are looked for that have expired destinations, and
	// that no replica writes any more; sweepPage are those read at once, of 512 KiB at most.
	sweepInterval = time.Hour
	sweepPage     = 10
)

// NeedLeaderElection is false: every replica receives reports.
func (r *Recorder) NeedLeaderElection() bool { return false }

// Start writes until ctx is done, and then what is left.
func (r *Recorder) Start(ctx context.Context) error {
	ticker := time.NewTicker(min(tick, r.options.Interval))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return r.finish(ctx)
		case <-ticker.C:
		}
		r.metrics.events.WithLabelValues("sent").Add(float64(r.announcer.send(ctx)))
		for _, namespace := range r.due() {
			if r.limit.Wait(ctx) != nil {
				break
			}
			r.flush(ctx, namespace)
		}
	}
}

// finish writes all that is not written.
func (r *Recorder) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrites)
	defer cancel()
	r.mu.Lock()
	var all []string
	for namespace := range r.namespaces {
		all = append(all, namespace)
	}
	r.mu.Unlock()
	for _, namespace := range all {
		if ctx.Err() != nil {
			r.options.Log.Info("some reports of hosts are lost: there was no time to write them")
			return nil
		}
		r.flush(ctx, namespace)
		r.flush(ctx, namespace) // what came in during a write that had failed
	}
	r.metrics.events.WithLabelValues("sent").Add(float64(r.announcer.send(ctx)))
	return nil
}

// flush writes what is new of a namespace.
func (r *Recorder) flush(ctx context.Context, namespace string) {
	b := r.take(namespace)
	if b == nil {
		return
	}
	// A write that is interrupted may be successful, and would be made again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	merged, err := r.write(ctx, namespace, b)
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		r.written(namespace, b.table) // there is nobody to read it
	case err != nil:
		r.metrics.writes.WithLabelValues("failed").Inc()
		r.options.Log.Error(err, "EgressReport not written, retrying", "namespace", namespace, "after", r.options.Interval.String())
		r.failed(namespace)
	default:
		r.metrics.writes.WithLabelValues("written").Inc()
		r.written(namespace, merged)
		r.metrics.events.WithLabelValues("omitted").Add(float64(r.announcer.add(namespace, b.blocked)))
	}
}

// addsBlocked are the blocked destinations of a table that another does not list.
func addsBlocked(to, from *report.Table) (all []destinationOf) {
	from.Each(func(w report.Workload, d report.Destination, _ report.Counts) {
		if d.Verdict == report.Blocked && !to.Has(w, d) {
			all = append(all, destinationOf{w, d})
		}
	})
	slices.SortFunc(all, func(a, b destinationOf) int {
		return cmp.Or(cmp.Compare(a.workload.String(), b.workload.String()), cmp.Compare(a.destination.Host, b.destination.Host),
			cmp.Compare(a.destination.Port, b.destination.Port))
	})
	return all
}

func (r *Recorder) objects(namespace string) dynamic.ResourceInterface {
	return r.options.Dynamic.Resource(schema.GroupVersionResource{Group: report.Group, Version: report.Version, Resource: report.Resource}).Namespace(namespace)
}

// write adds a batch to the object of a namespace.
func (r *Recorder) write(ctx context.Context, namespace string, b *batch) (merged *report.Table, err error) {
	for range attempts {
		var retry bool
		if merged, retry, err = r.attempt(ctx, namespace, b); !retry {
			return merged, err
		}
		select { // another replica was faster
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(rand.N(100 * time.Millisecond)):
		}
	}
	return nil, err
}

// attempt reads the object and writes it for the version that it has read.
func (r *Recorder) attempt(ctx context.Context, namespace string, b *batch) (merged *report.Table, retry bool, err error) {
	objects := r.objects(namespace)
	object, err := objects.Get(ctx, report.Name, metav1.GetOptions{})
	exists := err == nil
	switch {
	case apierrors.IsNotFound(err):
		object = &unstructured.Unstructured{}
		object.SetAPIVersion(report.Group + "/" + report.Version)
		object.SetKind(report.Kind)
		object.SetName(report.Name)
	case err != nil:
		return nil, false, fmt.Errorf("get EgressReport: %w", err)
	}
	content, err := read(object)
	if err != nil { // another client has edited it: it is made again
		r.options.Log.Error(err, "EgressReport cannot be read, and is written anew", "namespace", namespace)
	}
	now := r.now()
	merged = content.Table(report.DefaultLimits, now)
	if b.id != "" && content.LastWrite == b.id {
		return merged, false, nil // its answer was lost
	}
	b.blocked = addsBlocked(merged, b.table)
	merged.Merge(b.table)
	merged.Expire(now.Add(-r.options.Retention))
	b.blocked = slices.DeleteFunc(b.blocked, func(d destinationOf) bool { return !merged.Has(d.workload, d.destination) })
	if exists && merged.Empty() {
		err := objects.Delete(ctx, report.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: new(object.GetUID()), ResourceVersion: new(object.GetResourceVersion())}})
		if apierrors.IsNotFound(err) {
			err = nil
		}
		return merged, apierrors.IsConflict(err), err
	}
	next := merged.Content()
	next.LastWrite = cmp.Or(b.id, content.LastWrite)
	if err := fill(object, next); err != nil {
		return nil, false, err
	}
	if exists {
		_, err = objects.Update(ctx, object, metav1.UpdateOptions{FieldManager: "outrider"})
	} else {
		_, err = objects.Create(ctx, object, metav1.CreateOptions{FieldManager: "outrider"})
	}
	if err != nil {
		retry = apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || exists && apierrors.IsNotFound(err) || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err)
		return nil, retry, fmt.Errorf("write EgressReport: %w", err)
	}
	return merged, false, nil
}

// read reads the fields of an object beside its metadata.
func read(object *unstructured.Unstructured) (report.Content, error) {
	data, err := json.Marshal(object.Object)
	if err != nil {
		return report.Content{}, fmt.Errorf("encode EgressReport: %w", err)
	}
	return report.Read(data)
}

// fill replaces these fields.
func fill(object *unstructured.Unstructured, c report.Content) error {
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode EgressReport: %w", err)
	}
	fields := map[string]any{}
	if err := json.Unmarshal(data, &fields); err != nil {
		return fmt.Errorf("encode EgressReport: %w", err)
	}
	for _, key := range []string{"apiVersion", "kind", "metadata"} {
		if v, ok := object.Object[key]; ok {
			fields[key] = v
		}
	}
	object.Object = fields
	return nil
}

// Sweep removes expired destinations from all objects, and objects without any, until
// ctx is done. One replica runs it.
func (r *Recorder) Sweep(ctx context.Context) {
	retry := r.retry
	for {
		pause := sweepInterval
		if err := r.sweep(ctx); err == nil {
			retry = r.retry
		} else if ctx.Err() == nil {
			pause = min(retry.Step(), sweepInterval)
			r.options.Log.Error(err, "expired reports are not removed, retrying", "after", pause.String())
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// sweepRetry is the time until a sweep that has failed is tried again: 10 to 11 s, then
// twice as long each time, up to sweepInterval after some 9 attempts in an hour and a half.
var sweepRetry = wait.Backoff{Duration: 10 * time.Second, Factor: 2, Jitter: 0.1, Steps: 9, Cap: sweepInterval}

func (r *Recorder) sweep(ctx context.Context) error {
	options := metav1.ListOptions{Limit: sweepPage}
	for {
		page, err := r.objects("").List(ctx, options)
		if err != nil {
			return fmt.Errorf("list EgressReports: %w", err)
		}
		for i := range page.Items {
			o := &page.Items[i]
			c, err := read(o)
			if o.GetName() != report.Name || err == nil && (c.Summary.Oldest == nil || c.Summary.Oldest.After(r.now().Add(-r.options.Retention))) {
				continue
			}
			if err := r.limit.Wait(ctx); err != nil {
				return err
			}
			if _, err := r.write(ctx, o.GetNamespace(), &batch{table: report.NewTable(report.DefaultLimits)}); err != nil {
				return fmt.Errorf("%s: %w", o.GetNamespace(), err)
			}
			r.metrics.writes.WithLabelValues("expired").Inc()
		}
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return nil
		}
	}
}
