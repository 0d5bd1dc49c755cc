package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/debounce"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// StatusOptions of a StatusWriter.
type StatusOptions struct {
	// Dynamic requires get on the objects, and patch on their status.
	Dynamic dynamic.Interface
	// Revision, unless it is the default one, becomes part of the condition's type, so
	// that two control planes do not overwrite each other's.
	Revision revision.Revision
	Log      logr.Logger
	// Registry registers the metrics; nil: they are not registered.
	Registry prometheus.Registerer
	// PerSecond is the maximum rate of writes, 0 means 20: a thousand objects take
	// less than a minute, and the API server keeps capacity for other clients.
	PerSecond float64
}

// StatusWriter writes a condition to the status of each object, from the results
// that it is offered. It does not modify the rest of the status, and writes only
// changes. Only one of several replicas should run it.
type StatusWriter struct {
	options   StatusOptions
	condition string // its type
	limit     *rate.Limiter
	latest    atomic.Pointer[Result]
	changed   debounce.Signal
	written   map[string]lastWrite // by the object's UID
	writes    *prometheus.CounterVec
	now       func() time.Time
}

// desired is the desired condition of one object.
type desired struct {
	condition  egress.Condition
	generation int64
}

// lastWrite is the last write to an object. While the watch still delivers the
// resourceVersion that was written over, it has not delivered the write yet.
type lastWrite struct {
	desired
	over string // resourceVersion
}

// The pause after a pass with a failed write, and its maximum.
const (
	retryStatus    = 5 * time.Second
	maxRetryStatus = 5 * time.Minute
)

// NewStatusWriter makes a writer.
func NewStatusWriter(o StatusOptions) (*StatusWriter, error) {
	if o.PerSecond == 0 {
		o.PerSecond = 20
	}
	w := &StatusWriter{
		options: o, condition: o.Revision.Name(egress.ConditionType), limit: rate.NewLimiter(rate.Limit(o.PerSecond), 1), changed: debounce.New(), now: time.Now,
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "outrider", Subsystem: "egress", Name: "status_writes_total",
			Help: "Conditions written to the status of ServiceEntries and VirtualServices, by result (written, failed).",
		}, []string{"result"}),
	}
	if o.Registry != nil {
		if err := o.Registry.Register(w.writes); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return w, nil
}

// Offer sets the latest result. It does not block.
func (w *StatusWriter) Offer(r Result) {
	w.latest.Store(&r)
	w.changed.Notify()
}

// Run writes until ctx is done. Another replica may have written before, so it
// starts from the objects' own status.
func (w *StatusWriter) Run(ctx context.Context) error {
	w.written = map[string]lastWrite{}
	pause := retryStatus
	for {
		again := (<-chan time.Time)(nil)
		if r := w.latest.Load(); r != nil {
			if err := w.pass(ctx, r); err == nil {
				pause = retryStatus
			} else if ctx.Err() == nil {
				w.options.Log.Error(err, "some status updates failed, retrying", "after", pause.String())
				again = time.After(pause)
				pause = min(2*pause, maxRetryStatus)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.changed:
		case <-again:
		}
	}
}

// pass writes all changes. It stops when a newer result is offered, and continues
// after an error; it returns the first one.
func (w *StatusWriter) pass(ctx context.Context, r *Result) error {
	problems := map[string]problem.List{} // by source
	for _, p := range r.Problems {
		problems[p.Source] = append(problems[p.Source], p)
	}
	exists, failed := map[string]bool{}, 0
	var first error
	for _, o := range r.Objects {
		exists[o.UID] = true
		want := desired{egress.ConditionOf(problems[egress.Source(o.Kind, o.Meta)]), o.Generation}
		if w.upToDate(o.status, want) || w.written[o.UID] == (lastWrite{want, o.resource}) {
			continue
		}
		if err := w.limit.Wait(ctx); err != nil {
			return err
		}
		if w.latest.Load() != r {
			return nil // superseded
		}
		if err := w.write(ctx, o, want); err != nil {
			w.writes.WithLabelValues("failed").Inc()
			if first == nil {
				first = err
			}
			failed++
			continue
		}
		w.written[o.UID] = lastWrite{want, o.resource}
	}
	maps.DeleteFunc(w.written, func(uid string, _ lastWrite) bool { return !exists[uid] })
	if failed > 1 {
		return fmt.Errorf("%d writes failed, the first: %w", failed, first)
	}
	return first
}

// upToDate reports whether a status has the desired condition.
func (w *StatusWriter) upToDate(status map[string]any, want desired) bool {
	c, _ := w.own(status)
	generation, err := json.Number(fmt.Sprint(c["observedGeneration"])).Int64()
	return c["status"] == truth(want.condition.Accepted) && c["reason"] == want.condition.Reason && c["message"] == want.condition.Message &&
		err == nil && generation == want.generation
}

// own is this writer's condition, and all conditions.
func (w *StatusWriter) own(status map[string]any) (own map[string]any, all []any) {
	all, _ = status["conditions"].([]any)
	for _, c := range all {
		if c, ok := c.(map[string]any); ok && c["type"] == w.condition {
			return c, all
		}
	}
	return nil, all
}

func truth(v bool) string {
	if v {
		return "True"
	}
	return "False"
}

// write patches the condition into the status. The patch is for the object's
// resourceVersion; after a conflict it is made again from the current object. An
// object that was deleted, or has another spec by now, is skipped: the next result
// covers it.
func (w *StatusWriter) write(ctx context.Context, o Object, want desired) error {
	resource := schema.GroupVersionResource{Group: Group, Version: o.version, Resource: resourceOf(o.Kind)}
	client := w.options.Dynamic.Resource(resource).Namespace(o.Meta.Namespace)
	status, version := o.status, o.resource
	for {
		err := w.patch(ctx, client, o, status, version, want)
		if err == nil {
			w.writes.WithLabelValues("written").Inc()
			return nil
		}
		current, getErr := client.Get(ctx, o.Meta.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(getErr):
			return nil
		case getErr != nil:
			return errors.Join(err, getErr)
		case string(current.GetUID()) != o.UID || current.GetGeneration() != o.Generation:
			return nil
		case apierrors.IsNotFound(err):
			err = errors.New("the CRD has no status subresource")
		}
		if !apierrors.IsConflict(err) || current.GetResourceVersion() == version {
			return fmt.Errorf("update status of %s %s/%s: %w", o.Kind, o.Meta.Namespace, o.Meta.Name, err)
		}
		version = current.GetResourceVersion()
		if status, _ = current.Object["status"].(map[string]any); w.upToDate(status, want) {
			return nil
		}
	}
}

func (w *StatusWriter) patch(ctx context.Context, client dynamic.ResourceInterface, o Object, status map[string]any, version string, want desired) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": o.UID, "resourceVersion": version},
		"status":   map[string]any{"observedGeneration": want.generation, "conditions": w.conditions(status, want)},
	})
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	_, err = client.Patch(ctx, o.Meta.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "outrider"}, "status")
	return err
}

// conditions are all conditions of a status, with the desired one in its current
// position.
func (w *StatusWriter) conditions(status map[string]any, want desired) []any {
	own, all := w.own(status)
	next := map[string]any{
		"type": w.condition, "status": truth(want.condition.Accepted), "reason": want.condition.Reason, "message": want.condition.Message,
		"observedGeneration": want.generation, "lastTransitionTime": w.now().UTC().Format(time.RFC3339),
	}
	if since, ok := own["lastTransitionTime"].(string); ok && own["status"] == next["status"] {
		next["lastTransitionTime"] = since
	}
	out := slices.Clone(all)
	for i, c := range out {
		if c, ok := c.(map[string]any); ok && c["type"] == w.condition {
			out[i] = next
			return out
		}
	}
	return append(out, next)
}

func resourceOf(kind string) string {
	for _, k := range watchedKinds {
		if k.name == kind {
			return k.resource
		}
	}
	return ""
}
