package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/debounce"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// Options of a Watcher.
type Options struct {
	// Client and Dynamic need list and watch on services, endpointslices, nodes,
	// serviceentries, virtualservices and sidecars, and on the CRDs of the last three; on
	// namespaces, if the mesh configuration selects by their labels.
	Client  kubernetes.Interface
	Dynamic dynamic.Interface
	// Revision is this control plane's; empty means the default one. Objects of
	// another revision are ignored.
	Revision revision.Revision
	// Limits bound the objects of each namespace.
	Limits egress.Limits
	// Reports makes sidecars report undeclared destinations to the control plane.
	Reports bool
	// BlockedBody gives responses to blocked requests a body with the reason.
	BlockedBody bool
	// Rejections registers what is called with the objects that sidecars reject; nil:
	// nothing is.
	Rejections func(changed func([]egress.Rejection))
	// Built is called with each model.
	Built func(Result)
	Log   logr.Logger
	// Registry registers the metrics; nil: they are not registered.
	Registry prometheus.Registerer
	// Quiet is the time without a change before a build, 0 means 50 ms; Longest is
	// the maximum time from the first change to the build, 0 means 500 ms.
	Quiet, Longest time.Duration
}

// Result is a model and its inputs.
type Result struct {
	Model    *egress.Model
	Input    egress.Input
	Problems problem.List
	// Objects are all ServiceEntries, VirtualServices and Sidecars of this revision, sorted
	// by kind, namespace and name.
	Objects []Object

	reachable reachable
	nodes     int // addresses of nodes
}

// Watcher builds models.
type Watcher struct {
	options  Options
	metrics  *metrics
	changed  debounce.Signal
	mesh     atomic.Pointer[egress.Mesh]
	ranges   atomic.Pointer[foundRanges]
	rejected atomic.Pointer[[]egress.Rejection]
	services table[service]
	slices   table[slice]
	nodes    table[addresses]
	// namespaces are their labels. They are watched from when the mesh configuration needs
	// them on.
	namespaces      table[labels]
	namespacesKnown atomic.Bool // the initial list is complete, or they cannot be read
	meshSet         debounce.Signal
	own             atomic.Pointer[own] // of the latest build
	// nodesForbidden: nodes cannot be read.
	nodesForbidden atomic.Bool
	kinds          []*kindWatcher
	// pending names the sources whose initial list is pending; empty once a model was
	// built.
	pending    atomic.Pointer[[]string]
	latest     atomic.Pointer[Result]
	problems   problemLog
	restricted restrictedLog
}

// New makes a watcher.
func New(o Options) (*Watcher, error) {
	m, err := newMetrics(o.Registry)
	if err != nil {
		return nil, err
	}
	o.Quiet, o.Longest = cmp.Or(o.Quiet, 50*time.Millisecond), cmp.Or(o.Longest, 500*time.Millisecond)
	w := &Watcher{options: o, metrics: m, changed: debounce.New(), meshSet: debounce.New(), problems: problemLog{log: o.Log}, restricted: restrictedLog{log: o.Log}}
	w.services = table[service]{read: func(o any) (key, service, bool) {
		s, ok := o.(*corev1.Service)
		if !ok {
			return key{}, service{}, false
		}
		return key{s.Namespace, s.Name}, readService(s), true
	}, changed: func(before, after *service) {
		if !same(before, after, service.equal) {
			w.changed.Notify()
		}
	}}
	w.slices = table[slice]{read: func(o any) (key, slice, bool) {
		s, ok := o.(*discoveryv1.EndpointSlice)
		if !ok {
			return key{}, slice{}, false
		}
		return key{s.Namespace, s.Name}, readSlice(s), true
	}, changed: w.sliceChanged}
	w.nodes = table[addresses]{read: func(o any) (key, addresses, bool) {
		n, ok := o.(*corev1.Node)
		if !ok {
			return key{}, nil, false
		}
		return key{name: n.Name}, readNode(n), true
	}, changed: func(before, after *addresses) {
		if !same(before, after, slices.Equal[addresses]) {
			w.changed.Notify()
		}
	}}
	w.namespaces = table[labels]{read: readNamespace, changed: func(before, after *labels) {
		if !same(before, after, maps.Equal[labels, labels]) {
			w.changed.Notify()
		}
	}}
	for _, k := range watchedKinds {
		w.kinds = append(w.kinds, newKindWatcher(k.name, k.resource, o.Dynamic, w.changed, o.Log))
	}
	w.setPending([]string{"all sources"})
	if o.Rejections != nil {
		o.Rejections(w.SetRejected)
	}
	return w, nil
}

// sliceChanged ignores the most frequent change: the endpoints of a Service with a
// ClusterIP, which clients do not connect to directly, unless one is outside the
// cluster.
func (w *Watcher) sliceChanged(before, after *slice) {
	if same(before, after, slice.equal) {
		return
	}
	own := w.own.Load()
	for _, s := range []*slice{before, after} {
		if s != nil && (own == nil || own.relaysOutside(s) || w.services.get(s.service).direct) {
			w.changed.Notify()
		}
	}
}

func same[T any](a, b *T, equal func(T, T) bool) bool {
	return a != nil && b != nil && equal(*a, *b)
}

// SetMesh sets the active mesh configuration. The same one again changes nothing.
func (w *Watcher) SetMesh(m *egress.Mesh) {
	if w.mesh.Swap(m) != m {
		w.changed.Notify()
		w.meshSet.Notify()
	}
}

// foundRanges are the cluster's own ranges, as far as they are found.
type foundRanges struct {
	list     cidr.List
	complete bool
}

// SetRanges sets the cluster's own ranges, of pods and Services, as far as they are
// found, and whether these are all. The same ones again change nothing.
func (w *Watcher) SetRanges(own cidr.List, complete bool) {
	next := foundRanges{own, complete}
	if before := w.ranges.Swap(&next); before == nil || before.complete != complete || !before.list.Equal(own) {
		w.changed.Notify()
	}
}

func (w *Watcher) foundRanges() foundRanges {
	if found := w.ranges.Load(); found != nil {
		return *found
	}
	return foundRanges{}
}

// SetRejected sets the objects that sidecars reject.
func (w *Watcher) SetRejected(all []egress.Rejection) {
	w.rejected.Store(&all)
	w.changed.Notify()
}

// Ready is a health check: the first model was built.
func (w *Watcher) Ready(*http.Request) error {
	if pending := *w.pending.Load(); len(pending) > 0 {
		return fmt.Errorf("initial list pending: %s", strings.Join(pending, ", "))
	}
	return nil
}

func (w *Watcher) setPending(sources []string) { w.pending.Store(&sources) }

// Latest is the latest result, nil before the first one.
func (w *Watcher) Latest() *Result { return w.latest.Load() }

// Input is what the latest result was built from, among which another object is
// validated; false before the first one.
func (w *Watcher) Input() (egress.Input, bool) {
	if r := w.latest.Load(); r != nil {
		return r.Input, true
	}
	return egress.Input{}, false
}

// NeedLeaderElection is false: every replica watches.
func (w *Watcher) NeedLeaderElection() bool { return false }

// Start watches and builds until ctx is done.
func (w *Watcher) Start(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(w.options.Client, 0)
	services, err1 := prepare(factory.Core().V1().Services().Informer(), w.options.Log, "services", &w.services)
	endpoints, err2 := prepare(factory.Discovery().V1().EndpointSlices().Informer(), w.options.Log, "endpointslices", &w.slices)
	nodes, err3 := prepare(factory.Core().V1().Nodes().Informer(), w.options.Log, "nodes", &w.nodes, w.nodesFailed)
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("watch configuration: %w", err)
	}
	running, inner := errgroup.WithContext(ctx)
	factory.Start(inner.Done())
	defer factory.Shutdown()
	for _, k := range w.kinds {
		running.Go(func() error { return k.run(inner) })
	}
	running.Go(func() error {
		if cache.WaitForCacheSync(inner.Done(), services.HasSynced, endpoints.HasSynced) {
			w.changed.Notify()
		}
		if cache.WaitForCacheSync(inner.Done(), nodes.HasSynced) {
			w.changed.Notify()
		}
		return nil
	})
	running.Go(func() error { return w.watchNamespaces(inner) })
	running.Go(func() error {
		for {
			if err := w.changed.Wait(inner, w.options.Quiet, w.options.Longest); err != nil {
				return err
			}
			w.build(services.HasSynced() && endpoints.HasSynced() && (nodes.HasSynced() || w.nodesForbidden.Load()))
		}
	})
	if err := running.Wait(); ctx.Err() == nil {
		return fmt.Errorf("watch configuration: %w", err)
	}
	return nil
}

// nodesFailed notices that nodes cannot be read at all: a model does not wait for them
// then.
func (w *Watcher) nodesFailed(err error) {
	if apierrors.IsForbidden(err) && !w.nodesForbidden.Swap(true) {
		w.options.Log.Error(err, "nodes cannot be read: endpoints of pods with hostNetwork are reached from their own namespace only; grant list and watch on nodes")
		w.changed.Notify()
	}
}

// build builds a model from the current state, once every initial list is complete.
func (w *Watcher) build(addressesSynced bool) {
	in := egress.Input{Mesh: w.mesh.Load(), Limits: w.options.Limits, Reports: w.options.Reports, BlockedBody: w.options.BlockedBody}
	var pending []string
	if in.Mesh == nil {
		pending = append(pending, "the mesh configuration")
	}
	if !addressesSynced {
		pending = append(pending, "Services, EndpointSlices and nodes")
	}
	if in.Mesh != nil && in.Mesh.ReadsNamespaces() && !w.namespacesKnown.Load() {
		pending = append(pending, "namespaces")
	}
	var all []object
	for _, k := range w.kinds {
		t := k.current.Load()
		if t == nil {
			pending = append(pending, k.name)
			continue
		}
		for _, o := range t.all() {
			if w.options.Revision.Reads(o.revision) {
				all = append(all, o)
			}
		}
	}
	if len(pending) > 0 {
		if len(*w.pending.Load()) > 0 {
			w.setPending(pending)
		}
		return
	}
	var r Result
	start := time.Now()
	slices.SortFunc(all, func(a, b object) int { return compareObjects(a.Object, b.Object) })
	for _, o := range all {
		if o.spec == nil && o.Kind == egress.KindSidecar {
			in.Sidecars = append(in.Sidecars, egress.Sidecar{Meta: o.Meta}) // not readable: it exposes nothing
		}
		in.Add(o.Meta, o.spec, o.bytes)
		in.Problems = append(in.Problems, o.problems...)
		r.Objects = append(r.Objects, o.Object)
	}
	if rejected := w.rejected.Load(); rejected != nil {
		in.Rejected = *rejected
	}
	w.addAddresses(&in, &r)
	w.addNamespaces(&in)
	r.Input = in
	r.Model, r.Problems = egress.Build(in)
	r.Problems = append(r.Problems, r.Model.Precedence()...) // of no object alone: it is in the status of both
	w.latest.Store(&r)
	w.options.Built(r)
	w.metrics.built(r, time.Since(start))
	w.problems.update(r.Problems)
	w.restricted.update(r.reachable.restricted, w.own.Load().complete)
	w.options.Log.V(1).Info("published", "objects", len(r.Objects), "problems", len(r.Problems))
	w.setPending(nil)
}

// addAddresses adds the addresses of the cluster.
func (w *Watcher) addAddresses(in *egress.Input, r *Result) {
	services, found := w.services.all(), w.foundRanges()
	own := newOwn(found.list, found.complete, services, w.nodes.all())
	w.own.Store(own) // before the slices are read: a later change compares with it
	r.nodes = len(own.nodes)
	r.reachable = destinations(services, w.slices.all(), own, cmp.Or(in.Limits.NamespaceAddresses, egress.DefaultNamespaceAddresses))
	in.InCluster = r.reachable.addresses
}

func compareObjects(a, b Object) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Meta.Namespace, b.Meta.Namespace), cmp.Compare(a.Meta.Name, b.Meta.Name))
}
