package kube

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/debounce"
)

// Group is the API group of the objects.
const Group = "networking.istio.io"

// versions are the supported API versions, the preferred one first. All of them
// have the same fields.
var versions = []string{"v1", "v1beta1", "v1alpha3"}

var crdResource = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// kindWatcher watches the objects of one kind. Whether the kind is installed, and
// which versions are served, is read from its CustomResourceDefinition; discovery
// also reports "none" when it fails.
type kindWatcher struct {
	name, resource string // ServiceEntry, serviceentries
	client         dynamic.Interface
	changed        debounce.Signal
	log            logr.Logger

	// current is nil until the initial list is complete, or the CRD is known not to
	// be installed.
	current atomic.Pointer[table[object]]
}

func newKindWatcher(name, resource string, client dynamic.Interface, changed debounce.Signal, log logr.Logger) *kindWatcher {
	return &kindWatcher{name: name, resource: resource, client: client, changed: changed, log: log.WithValues("kind", name)}
}

// use replaces the table of the objects.
func (k *kindWatcher) use(t *table[object]) {
	k.current.Store(t)
	k.changed.Notify()
}

// run watches the kind until ctx is done.
func (k *kindWatcher) run(ctx context.Context) error {
	crdChanged := debounce.New()
	name := k.resource + "." + Group
	crds := dynamicinformer.NewFilteredDynamicInformer(k.client, crdResource, metav1.NamespaceAll, 0, cache.Indexers{},
		func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
		}).Informer()
	handler, err := prepare(crds, k.log, "CRD "+name, cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { crdChanged.Notify() }, UpdateFunc: func(any, any) { crdChanged.Notify() }, DeleteFunc: func(any) { crdChanged.Notify() },
	})
	if err != nil {
		return fmt.Errorf("watch %s: %w", name, err)
	}
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { crds.RunWithContext(ctx) })
	if !cache.WaitForCacheSync(ctx.Done(), handler.HasSynced) {
		return nil
	}
	stop, version := func() {}, "none"
	defer func() { stop() }()
	for {
		if served := k.served(crds.GetStore().List()); served != version {
			stop()
			version = served
			if stop, err = k.start(ctx, version, &running); err != nil {
				return fmt.Errorf("watch %s: %w", name, err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-crdChanged:
		}
	}
}

// served is the version to watch; empty if the CRD is not installed.
func (k *kindWatcher) served(list []any) string {
	for _, o := range list {
		u, ok := o.(*unstructured.Unstructured)
		if !ok || u.GetName() != k.resource+"."+Group || !condition(u, "Established") {
			continue
		}
		var names []string
		all, _, _ := unstructured.NestedSlice(u.Object, "spec", "versions")
		for _, v := range all {
			if v, ok := v.(map[string]any); ok && v["served"] == true {
				names = append(names, fmt.Sprint(v["name"]))
			}
		}
		for _, v := range versions {
			if slices.Contains(names, v) {
				return v
			}
		}
		k.log.Error(nil, "no supported version served; objects ignored", "served", names, "supported", versions)
	}
	return ""
}

func condition(u *unstructured.Unstructured, name string) bool {
	all, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	return slices.ContainsFunc(all, func(c any) bool {
		m, ok := c.(map[string]any)
		return ok && m["type"] == name && m["status"] == "True"
	})
}

// start watches the objects in a version. The previous objects are kept until the
// initial list is complete.
func (k *kindWatcher) start(ctx context.Context, version string, running *sync.WaitGroup) (stop func(), err error) {
	if version == "" {
		k.log.Info("CRD not installed")
		k.use(&table[object]{})
		return func() {}, nil
	}
	resource := schema.GroupVersionResource{Group: Group, Version: version, Resource: k.resource}
	informer := dynamicinformer.NewFilteredDynamicInformer(k.client, resource, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
	t := &table[object]{read: k.read, changed: k.specChanged}
	handler, err := prepare(informer, k.log, k.resource, t)
	if err != nil {
		return nil, err
	}
	k.log.Info("watching", "version", version)
	ctx, cancel := context.WithCancel(ctx)
	running.Go(func() { informer.RunWithContext(ctx) })
	running.Go(func() {
		if cache.WaitForCacheSync(ctx.Done(), handler.HasSynced) {
			k.use(t)
		}
	})
	return cancel, nil
}

// specChanged ignores changes of an object's status and metadata, except for its
// revision.
func (k *kindWatcher) specChanged(before, after *object) {
	if before == nil || after == nil || before.UID != after.UID || before.Generation != after.Generation || before.revision != after.revision {
		k.changed.Notify()
	}
}

func (k *kindWatcher) read(o any) (key, object, bool) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return key{}, object{}, false
	}
	return key{u.GetNamespace(), u.GetName()}, readObject(k.name, u), true
}

// watchedKinds are the kinds and resources of the objects.
var watchedKinds = []struct{ name, resource string }{
	{egress.KindServiceEntry, "serviceentries"},
	{egress.KindVirtualService, "virtualservices"},
	{egress.KindSidecar, "sidecars"},
}
