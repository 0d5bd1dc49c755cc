package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/debounce"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// Options of a Watcher.
type Options struct {
	// Client and Dynamic need list and watch on services, endpointslices,
	// serviceentries and virtualservices, and on the definitions of the last two.
	Client  kubernetes.Interface
	Dynamic dynamic.Interface
	// Revision is this control plane's. Objects that name another one are ignored.
	Revision revision.Revision
	// Built takes each model.
	Built func(Result)
	Log   logr.Logger
	// Registry takes the metrics; nil takes none.
	Registry prometheus.Registerer
	// Quiet is the time without a change before a model is built, 0 means 50 ms;
	// Longest the most from the first change to it, 0 means 500 ms.
	Quiet, Longest time.Duration
}

// Result is a model and what it was built from.
type Result struct {
	Model    *egress.Model
	Input    egress.Input
	Problems egress.Problems
	// Objects are all ServiceEntries and VirtualServices that are for this
	// revision, sorted by kind, namespace and name.
	Objects []Object
}

// Watcher builds models.
type Watcher struct {
	options  Options
	metrics  *metrics
	changed  debounce.Signal
	mesh     atomic.Pointer[meshconfig.MeshConfig]
	services table[service]
	slices   table[slice]
	kinds    []*kind
	// waiting names what is not known yet; empty once a model was built.
	waiting atomic.Pointer[[]string]
}

// New makes a watcher.
func New(o Options) (*Watcher, error) {
	m, err := newMetrics(o.Registry)
	if err != nil {
		return nil, err
	}
	o.Quiet, o.Longest = cmp.Or(o.Quiet, 50*time.Millisecond), cmp.Or(o.Longest, 500*time.Millisecond)
	w := &Watcher{options: o, metrics: m, changed: debounce.New()}
	w.services = table[service]{read: func(o any) (key, service, bool) {
		s, ok := o.(*corev1.Service)
		if !ok {
			return key{}, service{}, false
		}
		return key{s.Namespace, s.Name}, readService(s), true
	}, changed: func(before, after *service) {
		if !same(before, after, service.equal) {
			w.changed.Raise()
		}
	}}
	w.slices = table[slice]{read: func(o any) (key, slice, bool) {
		s, ok := o.(*discoveryv1.EndpointSlice)
		if !ok {
			return key{}, slice{}, false
		}
		return key{s.Namespace, s.Name}, readSlice(s), true
	}, changed: w.sliceChanged}
	for _, k := range kinds {
		w.kinds = append(w.kinds, newKind(k.name, k.resource, o.Dynamic, w.changed, o.Log))
	}
	w.wait([]string{"nothing has been read yet"})
	return w, nil
}

// sliceChanged passes over what comes most often: the endpoints of a Service
// with an address of its own, which nobody dials.
func (w *Watcher) sliceChanged(before, after *slice) {
	if same(before, after, slice.equal) {
		return
	}
	for _, s := range []*slice{before, after} {
		if s != nil && w.services.get(s.service).direct {
			w.changed.Raise()
		}
	}
}

func same[T any](a, b *T, equal func(T, T) bool) bool {
	return a != nil && b != nil && equal(*a, *b)
}

// SetMesh gives the mesh configuration in force, with its defaults applied.
func (w *Watcher) SetMesh(m *meshconfig.MeshConfig) {
	w.mesh.Store(m)
	w.changed.Raise()
}

// Ready is the health check: the first model was built.
func (w *Watcher) Ready(*http.Request) error {
	if missing := *w.waiting.Load(); len(missing) > 0 {
		return fmt.Errorf("what the sidecars are told is not known yet: %s", fmt.Sprint(missing))
	}
	return nil
}

func (w *Watcher) wait(missing []string) { w.waiting.Store(&missing) }

// NeedLeaderElection tells a manager that every replica watches.
func (w *Watcher) NeedLeaderElection() bool { return false }

// Start watches and builds until ctx ends.
func (w *Watcher) Start(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(w.options.Client, 0)
	services, err1 := prepare(factory.Core().V1().Services().Informer(), w.options.Log, "services", &w.services)
	endpoints, err2 := prepare(factory.Discovery().V1().EndpointSlices().Informer(), w.options.Log, "endpointslices", &w.slices)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("follow what the sidecars are told: %w", err)
	}
	running, inner := errgroup.WithContext(ctx)
	factory.Start(inner.Done())
	defer factory.Shutdown()
	for _, k := range w.kinds {
		running.Go(func() error { return k.run(inner) })
	}
	running.Go(func() error {
		if cache.WaitForCacheSync(inner.Done(), services.HasSynced, endpoints.HasSynced) {
			w.changed.Raise()
		}
		return nil
	})
	running.Go(func() error {
		for {
			if err := w.changed.Wait(inner, w.options.Quiet, w.options.Longest); err != nil {
				return err
			}
			w.build(services.HasSynced() && endpoints.HasSynced())
		}
	})
	if err := running.Wait(); ctx.Err() == nil {
		return fmt.Errorf("follow what the sidecars are told: %w", err)
	}
	return nil
}

// build makes a model of what is there, once all of it is known.
func (w *Watcher) build(addresses bool) {
	in := egress.Input{Mesh: w.mesh.Load()}
	var missing []string
	if in.Mesh == nil {
		missing = append(missing, "the mesh configuration")
	}
	if !addresses {
		missing = append(missing, "Services and EndpointSlices")
	}
	var all []object
	for _, k := range w.kinds {
		t := k.current.Load()
		if t == nil {
			missing = append(missing, k.name)
			continue
		}
		for _, o := range t.all() {
			if w.options.Revision.Reads(o.revision) {
				all = append(all, o)
			}
		}
	}
	if len(missing) > 0 {
		if len(*w.waiting.Load()) > 0 {
			w.wait(missing)
		}
		return
	}
	var r Result
	start := time.Now()
	slices.SortFunc(all, func(a, b object) int { return compareObjects(a.Object, b.Object) })
	for _, o := range all {
		in.Add(o.Meta, o.spec)
		in.Problems = append(in.Problems, o.problems...)
		r.Objects = append(r.Objects, o.Object)
	}
	in.InCluster = destinations(w.services.all(), w.slices.all())
	r.Input = in
	r.Model, r.Problems = egress.Build(in)
	w.options.Built(r)
	w.metrics.built(r, time.Since(start))
	w.wait(nil)
}

func compareObjects(a, b Object) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Meta.Namespace, b.Meta.Namespace), cmp.Compare(a.Meta.Name, b.Meta.Name))
}
