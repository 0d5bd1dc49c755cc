package kube

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/pager"

	"github.com/outrider-mesh/outrider/egress"
)

// labels of an object.
type labels map[string]string

func readNamespace(o any) (key, labels, bool) {
	n, ok := o.(*corev1.Namespace)
	if !ok {
		return key{}, nil, false
	}
	return key{name: n.Name}, n.Labels, true
}

// watchNamespaces watches them once the mesh configuration needs their labels: in most
// clusters it never does. If they cannot be read, no labels are known, and entries are
// visible as narrowly as the configuration has it.
func (w *Watcher) watchNamespaces(ctx context.Context) error {
	for m := w.mesh.Load(); m == nil || !m.ReadsNamespaces(); m = w.mesh.Load() {
		select {
		case <-ctx.Done():
			return nil
		case <-w.meshSet:
		}
	}
	known := func() {
		w.namespacesKnown.Store(true)
		w.changed.Notify()
	}
	informer := coreinformers.NewNamespaceInformer(w.options.Client, 0, cache.Indexers{})
	handler, err := prepare(informer, w.options.Log, "namespaces", &w.namespaces, func(err error) {
		if apierrors.IsForbidden(err) && !w.namespacesKnown.Load() {
			w.options.Log.Error(err, "namespaces cannot be read: serviceEntryVisibility is the narrowest of its policies for all of them; grant list and watch on namespaces")
			known()
		}
	})
	if err != nil {
		return fmt.Errorf("watch namespaces: %w", err)
	}
	go func() {
		if cache.WaitForCacheSync(ctx.Done(), handler.HasSynced) {
			known()
		}
	}()
	informer.RunWithContext(ctx)
	return nil
}

// readNamespaces lists them, if the mesh configuration needs their labels.
func (w *Watcher) readNamespaces(ctx context.Context) error {
	if m := w.mesh.Load(); m == nil || !m.ReadsNamespaces() {
		return nil
	}
	err := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return w.options.Client.CoreV1().Namespaces().List(ctx, o)
	}).EachListItem(ctx, metav1.ListOptions{}, func(o runtime.Object) error {
		w.namespaces.put(o, false)
		return nil
	})
	w.namespacesKnown.Store(true)
	if err != nil && !apierrors.IsForbidden(err) {
		return fmt.Errorf("list namespaces: %w", err)
	}
	return nil
}

// addNamespaces adds the labels of the namespaces that are known.
func (w *Watcher) addNamespaces(in *egress.Input) {
	if !in.Mesh.ReadsNamespaces() {
		return
	}
	in.Namespaces = map[string]map[string]string{}
	for k, l := range w.namespaces.all() {
		in.Namespaces[k.name] = l
	}
}
