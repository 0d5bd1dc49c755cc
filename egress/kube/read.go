package kube

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/pager"
)

// Read reads everything once, in pages, and builds one model, for a command: it watches
// nothing. The Watcher must not have been started, and needs SetMesh first.
func (w *Watcher) Read(ctx context.Context) error {
	api := w.options.Client
	for _, l := range []struct {
		what string
		page pager.ListPageFunc
		put  func(any)
	}{
		{"services", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return api.CoreV1().Services("").List(ctx, o)
		}, func(o any) { w.services.put(o, false) }},
		{"endpointslices", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return api.DiscoveryV1().EndpointSlices("").List(ctx, o)
		}, func(o any) { w.slices.put(o, false) }},
		{"nodes", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return api.CoreV1().Nodes().List(ctx, o)
		}, func(o any) { w.nodes.put(o, false) }},
	} {
		err := pager.New(l.page).EachListItem(ctx, metav1.ListOptions{}, func(o runtime.Object) error {
			l.put(o)
			return nil
		})
		if l.what == "nodes" && apierrors.IsForbidden(err) {
			w.nodesFailed(err)
			continue
		}
		if err != nil {
			return fmt.Errorf("list %s: %w", l.what, err)
		}
	}
	if err := w.readNamespaces(ctx); err != nil {
		return err
	}
	for _, k := range w.kinds {
		if err := k.readOnce(ctx); err != nil {
			return err
		}
	}
	w.build(true)
	return nil
}

// readOnce lists the objects of the kind in the preferred version that is served; there
// are none where the CRD is not installed.
func (k *kindWatcher) readOnce(ctx context.Context) error {
	t := &table[object]{read: k.read, changed: func(_, _ *object) {}}
	for _, version := range versions {
		resource := k.client.Resource(schema.GroupVersionResource{Group: Group, Version: version, Resource: k.resource})
		err := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return resource.List(ctx, o) }).
			EachListItem(ctx, metav1.ListOptions{}, func(o runtime.Object) error {
				t.put(o, false)
				return nil
			})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("list %s.%s: %w", k.resource, Group, err)
		}
		break
	}
	k.current.Store(t)
	return nil
}
