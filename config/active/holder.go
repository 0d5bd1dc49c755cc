package active

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"k8s.io/client-go/kubernetes"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/debounce"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/validate"
)

// Options of a Holder.
type Options struct {
	// ConfigMaps are watched in the cluster of Client, which needs get, list and
	// watch on these names only.
	ConfigMaps config.Location
	// Store is the name of the ConfigMap that keeps the last good configurations, in
	// the same namespace. Client needs get and update on it, and create where it does
	// not exist. Nothing is stored where it is empty.
	Store string
	// Version is the program's own.
	Version string
	// StorePause is storePause where it is zero.
	StorePause time.Duration
	Client     kubernetes.Interface
	// Environment reads what injection depends on beside the configuration and the
	// cluster's ranges. It is called until it succeeds, before anything is active.
	Environment func(context.Context) (inject.Environment, error)
	// Events takes the events on the ConfigMaps.
	Events Recorder
	Log    logr.Logger
	// Registry takes the metrics.
	Registry prometheus.Registerer
	// CompileMesh is egress.CompileMesh where it is nil.
	CompileMesh func(*meshconfig.MeshConfig) *egress.Mesh
}

// Holder holds the active configuration. It is a manager's runnable.
type Holder struct {
	options     Options
	report      reporter
	current     atomic.Pointer[Snapshot]
	environment atomic.Pointer[inject.Environment] // set once
	status      atomic.Pointer[Status]
	ranges      evidence
	store       store
	subscribers []func(*Snapshot)
	onStatus    []func()
	loaded      chan struct{} // closed after the first load
	loadedOnce  sync.Once

	mu       sync.Mutex              // of what follows, and of each change of current
	content  content                 // of the ConfigMaps
	latest   *validate.Configuration // of the ConfigMaps; nil before they were read; it may have errors
	errors   problem.List            // of latest
	applied  *validate.Configuration // the last edit of the ConfigMaps that was valid
	good     *Snapshot               // of what was stored before the start, once it was needed
	reported string                  // what was last reported of latest
}

// New makes a Holder of nothing. It does not talk to the API server yet.
func New(o Options) (*Holder, error) {
	m, err := newMetrics(o.Registry)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	if o.CompileMesh == nil {
		o.CompileMesh = egress.CompileMesh
	}
	h := &Holder{
		options: o, report: reporter{options: o, metrics: m},
		ranges: evidence{first: make(chan struct{})}, store: store{changed: debounce.New()},
		loaded: make(chan struct{}),
	}
	return h, nil
}

// Current is the active configuration, nil before the first valid one.
func (h *Holder) Current() *Snapshot { return h.current.Load() }

// Injector is that of the active configuration, nil before the first valid one.
func (h *Holder) Injector() *inject.Injector {
	if s := h.current.Load(); s != nil {
		return s.Injector
	}
	return nil
}

// Loaded is closed once the ConfigMaps were read. What they have may be rejected: then the
// last good configuration is active, if there is one.
func (h *Holder) Loaded() <-chan struct{} { return h.loaded }

// Subscribe calls f with each Snapshot that becomes active, from the first one.
// It must be called before Start.
func (h *Holder) Subscribe(f func(*Snapshot)) { h.subscribers = append(h.subscribers, f) }

// Ready is a health check: there is an active configuration.
func (h *Holder) Ready(*http.Request) error {
	if h.current.Load() == nil {
		return errors.New("no valid configuration loaded; see log")
	}
	return nil
}

// NeedLeaderElection is false: every replica holds a configuration.
func (h *Holder) NeedLeaderElection() bool { return false }

// Start watches until ctx ends. The environment, a first reading of the cluster's
// ranges and what was stored before come before the ConfigMaps: a configuration that
// needs the first two is rejected without, and the last replaces a rejected one.
func (h *Holder) Start(ctx context.Context) error {
	env := h.readEnvironment(ctx)
	if env == nil {
		return nil
	}
	h.ranges.wait(ctx)
	if !h.readStore(ctx) {
		return nil
	}
	h.environment.Store(env)
	if h.options.Store != "" {
		var kept sync.WaitGroup
		defer kept.Wait()
		kept.Go(func() { h.keep(ctx) })
	}
	w := newWatcher(h.options.ConfigMaps, h.load)
	if err := w.run(ctx, h.options.Client); err != nil && ctx.Err() == nil {
		return fmt.Errorf("watch the configuration: %w", err)
	}
	return nil
}

// retryEnvironment is the pause where the API server did not answer.
const retryEnvironment = 2 * time.Second

// readEnvironment tries until it succeeds, or ctx ends; then it is nil.
func (h *Holder) readEnvironment(ctx context.Context) *inject.Environment {
	for {
		env, err := h.options.Environment(ctx)
		if err == nil {
			return &env
		}
		h.options.Log.Error(err, "cannot reach the API server, retrying", "after", retryEnvironment.String())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryEnvironment):
		}
	}
}
