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

// versions are those that are read, the preferred one first. All of them have
// the same fields.
var versions = []string{"v1", "v1beta1", "v1alpha3"}

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// kind follows the objects of one kind. Whether the kind is installed, and in
// which versions, is what its CustomResourceDefinition says; discovery would
// say "none" also when it cannot tell.
type kind struct {
	name, resource string // ServiceEntry, serviceentries
	client         dynamic.Interface
	changed        debounce.Signal
	log            logr.Logger

	// current is nil until the objects are known, or it is known that there can
	// be none.
	current atomic.Pointer[table[object]]
}

func newKind(name, resource string, client dynamic.Interface, changed debounce.Signal, log logr.Logger) *kind {
	return &kind{name: name, resource: resource, client: client, changed: changed, log: log.WithValues("kind", name)}
}

// use takes the objects from a table from now on.
func (k *kind) use(t *table[object]) {
	k.current.Store(t)
	k.changed.Raise()
}

// run follows the kind until ctx ends.
func (k *kind) run(ctx context.Context) error {
	look := debounce.New()
	name := k.resource + "." + Group
	crds := dynamicinformer.NewFilteredDynamicInformer(k.client, definitions, metav1.NamespaceAll, 0, cache.Indexers{},
		func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
		}).Informer()
	seen, err := prepare(crds, k.log, "the definition of "+name, cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { look.Raise() }, UpdateFunc: func(any, any) { look.Raise() }, DeleteFunc: func(any) { look.Raise() },
	})
	if err != nil {
		return fmt.Errorf("follow %s: %w", name, err)
	}
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { crds.RunWithContext(ctx) })
	if !cache.WaitForCacheSync(ctx.Done(), seen.HasSynced) {
		return nil
	}
	stop, version := func() {}, "none"
	defer func() { stop() }()
	for {
		if served := k.served(crds.GetStore().List()); served != version {
			stop()
			version = served
			if stop, err = k.start(ctx, version, &running); err != nil {
				return fmt.Errorf("follow %s: %w", name, err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look:
		}
	}
}

// served is the version to read, by the definition; empty where the kind is not
// installed.
func (k *kind) served(list []any) string {
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
		k.log.Error(nil, "installed, but in no version that is read; its objects have no effect", "served", names, "read", versions)
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

// start follows the objects in a version. What was known before stays until they
// have been read once.
func (k *kind) start(ctx context.Context, version string, running *sync.WaitGroup) (stop func(), err error) {
	if version == "" {
		k.log.Info("not installed; there are no objects of it")
		k.use(&table[object]{})
		return func() {}, nil
	}
	resource := schema.GroupVersionResource{Group: Group, Version: version, Resource: k.resource}
	informer := dynamicinformer.NewFilteredDynamicInformer(k.client, resource, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
	t := &table[object]{read: k.read, changed: k.specChanged}
	seen, err := prepare(informer, k.log, k.resource, t)
	if err != nil {
		return nil, err
	}
	k.log.Info("following", "version", version)
	ctx, cancel := context.WithCancel(ctx)
	running.Go(func() { informer.RunWithContext(ctx) })
	running.Go(func() {
		if cache.WaitForCacheSync(ctx.Done(), seen.HasSynced) {
			k.use(t)
		}
	})
	return cancel, nil
}

// specChanged passes over what changes in an object's status and metadata, but
// for the revision.
func (k *kind) specChanged(before, after *object) {
	if before == nil || after == nil || before.UID != after.UID || before.Generation != after.Generation || before.revision != after.revision {
		k.changed.Raise()
	}
}

func (k *kind) read(o any) (key, object, bool) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return key{}, object{}, false
	}
	return key{u.GetNamespace(), u.GetName()}, readObject(k.name, u), true
}

// Kinds and resources of the objects.
var kinds = []struct{ name, resource string }{
	{egress.KindServiceEntry, "serviceentries"},
	{egress.KindVirtualService, "virtualservices"},
}
