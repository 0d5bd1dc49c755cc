package kube

import (
	"maps"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/outrider-mesh/outrider/annotation"
)

// table is an event handler that stores each object in decoded form. Unlike an
// informer's store, it decodes an object when it changes, not for every build.
type table[T any] struct {
	read func(any) (key, T, bool)
	// changed is called for each change: before is nil for a new object, after for a
	// deleted one.
	changed func(before, after *T)

	mu   sync.Mutex
	rows map[key]T
}

// all is a copy of the rows.
func (t *table[T]) all() map[key]T {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.rows)
}

// get is one row, or the zero value.
func (t *table[T]) get(k key) T {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rows[k]
}

// OnAdd stores the object.
func (t *table[T]) OnAdd(o any, _ bool) { t.put(o, false) }

// OnUpdate stores the object's new state.
func (t *table[T]) OnUpdate(_, o any) { t.put(o, false) }

// OnDelete removes the object.
func (t *table[T]) OnDelete(o any) {
	if tombstone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = tombstone.Obj
	}
	t.put(o, true)
}

func (t *table[T]) put(o any, deleted bool) {
	k, row, ok := t.read(o)
	if !ok {
		return
	}
	var before, after *T
	t.mu.Lock()
	if old, found := t.rows[k]; found {
		before = &old
	}
	if deleted {
		delete(t.rows, k)
	} else {
		if t.rows == nil {
			t.rows = map[key]T{}
		}
		t.rows[k], after = row, &row
	}
	t.mu.Unlock()
	t.changed(before, after)
}

// prepare adds the handler to an informer that is not running yet, drops unused
// metadata, and logs each new error of list and watch once. failed are called with each.
func prepare(i cache.SharedIndexInformer, log logr.Logger, resource string, h cache.ResourceEventHandler, failed ...func(error)) (cache.ResourceEventHandlerRegistration, error) {
	if err := i.SetTransform(func(o any) (any, error) {
		switch o := o.(type) {
		case *corev1.Node:
			return slimNode(o), nil
		case *metav1.PartialObjectMetadata:
			return slimPod(o), nil
		}
		if m, err := meta.Accessor(o); err == nil {
			m.SetManagedFields(nil)
			exportTo, has := m.GetAnnotations()[annotation.ExportTo]
			m.SetAnnotations(nil)
			if has {
				m.SetAnnotations(map[string]string{annotation.ExportTo: exportTo})
			}
		}
		return o, nil
	}); err != nil {
		return nil, err
	}
	last := ""
	if err := i.SetWatchErrorHandler(func(_ *cache.Reflector, err error) {
		if text := err.Error(); text != last {
			last = text
			log.Error(err, "watch failed; serving last known state", "resource", resource)
		}
		for _, f := range failed {
			f(err)
		}
	}); err != nil {
		return nil, err
	}
	return i.AddEventHandler(h)
}
