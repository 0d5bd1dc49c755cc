package certs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"github.com/outrider-mesh/outrider/annotation"
)

// publisher manages the revision's ConfigMap outrider-ca in the namespaces that need it. It runs
// on the leader.
type publisher struct {
	options       *Options
	client        kubernetes.Interface
	registrations *registrations
	metrics       *metrics
	log           logr.Logger
	loop          loop

	namespaces, configMaps cache.SharedIndexInformer
	optedIn                []cache.SharedIndexInformer
	injected               cache.SharedIndexInformer
	conflicts              []string // as last logged

	// bundle is to be published; published is in every ConfigMap.
	bundle, published atomic.Pointer[string]
	// done is called when published has changed.
	done func()
}

// newPublisher watches the objects that the publisher reads. Of namespaces and of
// pods that opt in, only labels are kept, and of other pods whether they were
// injected; of ConfigMaps, only those of the managed name are requested.
func newPublisher(o *Options, client kubernetes.Interface, meta metadata.Interface, r *registrations, m *metrics, log logr.Logger) *publisher {
	p := &publisher{options: o, client: client, registrations: r, metrics: m, log: log, loop: newLoop()}
	p.configMaps = informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(byName(o.name(ConfigMapName))),
		informers.WithTransform(stripManagedFields)).Core().V1().ConfigMaps().Informer()
	follow := func(resource, selector string) cache.SharedIndexInformer {
		return metadatainformer.NewFilteredMetadataInformer(meta, schema.GroupVersionResource{Version: "v1", Resource: resource},
			metav1.NamespaceAll, 0, cache.Indexers{}, func(l *metav1.ListOptions) { l.LabelSelector = selector }).Informer()
	}
	p.namespaces = follow("namespaces", "")
	p.optedIn = []cache.SharedIndexInformer{
		follow("pods", annotation.Inject+"=true"),
		follow("pods", annotation.Rev+" in ("+strings.Join(o.selectedBy(), ",")+")"),
	}
	p.injected = follow("pods", "") // a pod injected from a file has no label to select it by
	return p
}

// start watches until ctx ends; it returns when the initial lists are complete.
func (p *publisher) start(ctx context.Context, started func(cache.SharedIndexInformer) error) error {
	for _, i := range append(p.optedIn, p.namespaces) {
		if err := i.SetTransform(onlyLabels); err != nil {
			return fmt.Errorf("watch namespaces and pods: %w", err)
		}
	}
	if err := p.injected.SetTransform(onlyInjected(p.options.Revision)); err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	if _, err := p.injected.AddEventHandler(onInjected(p.loop.trigger)); err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	if err := started(p.injected); err != nil {
		return err
	}
	synced := append(p.registrations.synced(), p.injected.HasSynced)
	for _, i := range append(p.optedIn, p.namespaces, p.configMaps) {
		if _, err := i.AddEventHandler(onAny(p.loop.trigger)); err != nil {
			return fmt.Errorf("watch namespaces and ConfigMaps: %w", err)
		}
		if err := started(i); err != nil {
			return err
		}
		synced = append(synced, i.HasSynced)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return ctx.Err()
	}
	return nil
}

// offer sets the bundle to publish.
func (p *publisher) offer(bundle []byte) {
	text := string(bundle)
	if old := p.bundle.Swap(&text); old == nil || *old != text {
		p.loop.trigger()
	}
}

// holds reports whether every ConfigMap has the bundle.
func (p *publisher) holds(bundle []byte) bool {
	published := p.published.Load()
	return published != nil && *published == string(bundle)
}

// reconcile brings every ConfigMap to its desired state.
func (p *publisher) reconcile(ctx context.Context) error {
	webhooks, known := p.registrations.injecting()
	bundle := p.bundle.Load()
	if bundle == nil || !known {
		return nil
	}
	want, err := selected(webhooks, p.namespacesByName())
	if err != nil {
		return fmt.Errorf("select namespaces for ConfigMap %s: %w", p.options.name(ConfigMapName), err)
	}
	changes, conflicts := plan(p.options, want, p.existing(), []byte(*bundle))
	p.logConflicts(conflicts)
	var errs []error
	conflicted := false
	for _, c := range changes {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch err := p.write(ctx, c); {
		case errors.Is(err, errConflict):
			conflicted = true
		case err != nil:
			errs = append(errs, fmt.Errorf("%s ConfigMap %s/%s: %w", c.operation, c.object.Namespace, c.object.Name, err))
		}
	}
	if len(errs) == 0 && !conflicted && p.published.Swap(bundle) != bundle {
		p.done()
	}
	return errors.Join(errs...)
}

// namespacesByName are the namespaces with what selects them.
func (p *publisher) namespacesByName() map[string]namespace {
	out := map[string]namespace{}
	for _, object := range p.namespaces.GetStore().List() {
		if o, err := meta.Accessor(object); err == nil {
			out[o.GetName()] = namespace{labels: o.GetLabels(), terminating: o.GetDeletionTimestamp() != nil}
		}
	}
	for _, informer := range p.optedIn {
		for _, object := range informer.GetStore().List() {
			o, err := meta.Accessor(object)
			if n, ok := out[o.GetNamespace()]; err == nil && ok {
				n.optedIn = append(n.optedIn, o.GetLabels())
				out[o.GetNamespace()] = n
			}
		}
	}
	for _, object := range p.injected.GetStore().List() {
		o, err := meta.Accessor(object)
		if n, ok := out[o.GetNamespace()]; err == nil && ok && isInjected(object) {
			n.injected = true
			out[o.GetNamespace()] = n
		}
	}
	return out
}

// existing are the ConfigMaps of the managed name by namespace, regardless of who created them.
func (p *publisher) existing() map[string]*corev1.ConfigMap {
	out := map[string]*corev1.ConfigMap{}
	for _, object := range p.configMaps.GetStore().List() {
		if c, ok := object.(*corev1.ConfigMap); ok {
			out[c.Namespace] = c
		}
	}
	return out
}

// errConflict is a write of an object that was modified concurrently, which
// triggers the next pass.
var errConflict = errors.New("modified concurrently")

// write makes one change.
func (p *publisher) write(ctx context.Context, c change) (err error) {
	api := p.client.CoreV1().ConfigMaps(c.object.Namespace)
	switch c.operation {
	case create:
		_, err = api.Create(ctx, c.object, metav1.CreateOptions{FieldManager: managedBy})
	case update:
		_, err = api.Update(ctx, c.object, metav1.UpdateOptions{FieldManager: managedBy})
	case remove:
		var used bool
		if used, err = p.used(ctx, c.object.Namespace); used || err != nil {
			return err
		}
		err = api.Delete(ctx, c.object.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{
			UID: &c.object.UID, ResourceVersion: &c.object.ResourceVersion,
		}})
	}
	switch {
	case apierrors.IsAlreadyExists(err), apierrors.IsConflict(err):
		return errConflict
	case apierrors.IsNotFound(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil // the namespace is terminating, or the ConfigMap was deleted already
	}
	p.metrics.configMaps.WithLabelValues(string(c.operation), result(err, "done")).Inc()
	if err == nil {
		p.log.Info("ConfigMap written", "operation", string(c.operation), "namespace", c.object.Namespace, "name", c.object.Name)
	}
	return err
}

// used reports whether a pod of the namespace still has the ConfigMap mounted.
// Without it the kubelet would no longer refresh the pod's token either, which
// is in the same volume.
func (p *publisher) used(ctx context.Context, namespace string) (bool, error) {
	const page = 500
	options := metav1.ListOptions{Limit: page}
	for {
		pods, err := p.client.CoreV1().Pods(namespace).List(ctx, options)
		if err != nil {
			return false, fmt.Errorf("list pods that use it: %w", err)
		}
		if slices.ContainsFunc(pods.Items, func(pod corev1.Pod) bool { return mounts(&pod, p.options.name(ConfigMapName)) }) {
			return true, nil
		}
		if options.Continue = pods.Continue; options.Continue == "" {
			return false, nil
		}
	}
}

// logConflicts reports unmanaged ConfigMaps of the name, once.
func (p *publisher) logConflicts(conflicts []string) {
	p.metrics.conflicts.Set(float64(len(conflicts)))
	if len(conflicts) > 0 && !slices.Equal(conflicts, p.conflicts) {
		p.log.Error(nil, "ConfigMap "+p.options.name(ConfigMapName)+" exists but is not managed by Outrider; sidecars in this namespace cannot connect until it is removed",
			"namespaces", strings.Join(conflicts, ","))
	}
	p.conflicts = conflicts
}

// onlyLabels drops the metadata that is not read.
func onlyLabels(object any) (any, error) {
	if o, ok := object.(*metav1.PartialObjectMetadata); ok {
		o.Annotations, o.ManagedFields, o.OwnerReferences, o.Finalizers = nil, nil, nil, nil
	}
	return object, nil
}

func stripManagedFields(object any) (any, error) {
	if o, err := meta.Accessor(object); err == nil {
		o.SetManagedFields(nil)
	}
	return object, nil
}
