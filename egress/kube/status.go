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
	"github.com/outrider-mesh/outrider/internal/revision"
)

// StatusOptions of a StatusWriter.
type StatusOptions struct {
	// Dynamic needs get on the objects, and patch on their status.
	Dynamic dynamic.Interface
	// Revision becomes part of the condition's type, so that two control planes do
	// not overwrite each other's conditions.
	Revision revision.Revision
	Log      logr.Logger
	// Registry takes the metrics; nil keeps none.
	Registry prometheus.Registerer
	// PerSecond is how many statuses are written at most, 0 means 20: a thousand
	// objects are through in a minute, beside which the API server has other work.
	PerSecond float64
}

// StatusWriter writes into the status of each object what became of it, by the
// results that it is offered. It writes a condition of its own type, leaves the
// rest of the status to others, and writes only what differs. Of several
// replicas one alone should run it.
type StatusWriter struct {
	options StatusOptions
	kind    string // the condition's type
	limit   *rate.Limiter
	latest  atomic.Pointer[Result]
	changed debounce.Signal
	written map[string]memory // by the object's uid
	writes  *prometheus.CounterVec
	now     func() time.Time
}

// wrote is what a condition was to be.
type wrote struct {
	condition  egress.Condition
	generation int64
}

// memory is what was written over a state of an object: while the watch brings
// that state, it has not brought the write back yet.
type memory struct {
	wrote
	over string // the state's resourceVersion
}

// The pause after a pass in which a write failed, and its longest.
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
		options: o, kind: o.Revision.Name(egress.ConditionType), limit: rate.NewLimiter(rate.Limit(o.PerSecond), 1), changed: debounce.New(), now: time.Now,
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "outrider", Subsystem: "egress", Name: "status_writes_total",
			Help: "Conditions written into the status of ServiceEntries and VirtualServices, by result (written, failed).",
		}, []string{"result"}),
	}
	if o.Registry != nil {
		if err := o.Registry.Register(w.writes); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return w, nil
}

// Offer takes the latest result, and never waits.
func (w *StatusWriter) Offer(r Result) {
	w.latest.Store(&r)
	w.changed.Raise()
}

// Run writes until ctx ends. What somebody else wrote meanwhile is not known, so
// it begins with what the objects themselves say.
func (w *StatusWriter) Run(ctx context.Context) error {
	w.written = map[string]memory{}
	pause := retryStatus
	for {
		again := (<-chan time.Time)(nil)
		if r := w.latest.Load(); r != nil {
			if err := w.pass(ctx, r); err == nil {
				pause = retryStatus
			} else if ctx.Err() == nil {
				w.options.Log.Error(err, "not every object's status says what became of it, trying again", "after", pause.String())
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

// pass writes what differs. It breaks off for a newer result, and goes on after
// an error, of which it returns the first.
func (w *StatusWriter) pass(ctx context.Context, r *Result) error {
	type object struct{ kind, namespace, name string }
	problems := map[object]egress.Problems{}
	for _, p := range r.Problems {
		k := object{p.Kind, p.Namespace, p.Name}
		problems[k] = append(problems[k], p)
	}
	alive, failed := map[string]bool{}, 0
	var first error
	for _, o := range r.Objects {
		alive[o.UID] = true
		want := wrote{problems[object{o.Kind, o.Meta.Namespace, o.Meta.Name}].Condition(), o.Generation}
		if w.says(o.status, want) || w.written[o.UID] == (memory{want, o.resource}) {
			continue
		}
		if err := w.limit.Wait(ctx); err != nil {
			return err
		}
		if w.latest.Load() != r {
			return nil // its pass begins
		}
		if err := w.write(ctx, o, want); err != nil {
			w.writes.WithLabelValues("failed").Inc()
			if first == nil {
				first = err
			}
			failed++
			continue
		}
		w.written[o.UID] = memory{want, o.resource}
	}
	maps.DeleteFunc(w.written, func(uid string, _ memory) bool { return !alive[uid] })
	if failed > 1 {
		return fmt.Errorf("%d writes failed, the first: %w", failed, first)
	}
	return first
}

// says reports whether a status has the condition.
func (w *StatusWriter) says(status map[string]any, want wrote) bool {
	c, _ := w.own(status)
	generation, err := json.Number(fmt.Sprint(c["observedGeneration"])).Int64()
	return c["status"] == truth(want.condition.Accepted) && c["reason"] == want.condition.Reason && c["message"] == want.condition.Message &&
		err == nil && generation == want.generation
}

// own is the condition of our type, and all conditions.
func (w *StatusWriter) own(status map[string]any) (own map[string]any, all []any) {
	all, _ = status["conditions"].([]any)
	for _, c := range all {
		if c, ok := c.(map[string]any); ok && c["type"] == w.kind {
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

// write patches the condition into the status. The patch holds for the state of
// the object that it was made from; where that has changed, it is made anew from
// the object as it is. An object that has gone, or has another spec by now, is
// left to the next result.
func (w *StatusWriter) write(ctx context.Context, o Object, want wrote) error {
	resource := schema.GroupVersionResource{Group: Group, Version: o.version, Resource: resourceOf(o.Kind)}
	client := w.options.Dynamic.Resource(resource).Namespace(o.Meta.Namespace)
	status, version := o.status, o.resource
	for {
		err := w.patch(ctx, client, o, status, version, want)
		if err == nil {
			w.writes.WithLabelValues("written").Inc()
			return nil
		}
		now, getErr := client.Get(ctx, o.Meta.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(getErr):
			return nil
		case getErr != nil:
			return errors.Join(err, getErr)
		case string(now.GetUID()) != o.UID || now.GetGeneration() != o.Generation:
			return nil
		case apierrors.IsNotFound(err):
			err = errors.New("its CustomResourceDefinition has no status subresource")
		}
		if !apierrors.IsConflict(err) || now.GetResourceVersion() == version {
			return fmt.Errorf("write the status of %s %s/%s: %w", o.Kind, o.Meta.Namespace, o.Meta.Name, err)
		}
		version = now.GetResourceVersion()
		if status, _ = now.Object["status"].(map[string]any); w.says(status, want) {
			return nil
		}
	}
}

func (w *StatusWriter) patch(ctx context.Context, client dynamic.ResourceInterface, o Object, status map[string]any, version string, want wrote) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": o.UID, "resourceVersion": version},
		"status":   map[string]any{"observedGeneration": want.generation, "conditions": w.conditions(status, want)},
	})
	if err != nil {
		return fmt.Errorf("make a patch: %w", err)
	}
	_, err = client.Patch(ctx, o.Meta.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "outrider"}, "status")
	return err
}

// conditions are all conditions of a status, with ours as it is to be, in the
// place that it has.
func (w *StatusWriter) conditions(status map[string]any, want wrote) []any {
	own, all := w.own(status)
	next := map[string]any{
		"type": w.kind, "status": truth(want.condition.Accepted), "reason": want.condition.Reason, "message": want.condition.Message,
		"observedGeneration": want.generation, "lastTransitionTime": w.now().UTC().Format(time.RFC3339),
	}
	if since, ok := own["lastTransitionTime"].(string); ok && own["status"] == next["status"] {
		next["lastTransitionTime"] = since
	}
	out := slices.Clone(all)
	for i, c := range out {
		if c, ok := c.(map[string]any); ok && c["type"] == w.kind {
			out[i] = next
			return out
		}
	}
	return append(out, next)
}

func resourceOf(kind string) string {
	for _, k := range kinds {
		if k.name == kind {
			return k.resource
		}
	}
	return ""
}
