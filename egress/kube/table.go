package kube

import (
	"maps"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/cache"
)

// table is a handler that keeps what is read of each object. It reads an object
// when it changes, not whenever a model is built.
type table[T any] struct {
	read func(any) (key, T, bool)
	// changed is told of each change: nil stands for what is not there.
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

// get is one row, or its zero value.
func (t *table[T]) get(k key) T {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rows[k]
}

// OnAdd keeps the object.
func (t *table[T]) OnAdd(o any, _ bool) { t.put(o, false) }

// OnUpdate keeps the object as it is now.
func (t *table[T]) OnUpdate(_, o any) { t.put(o, false) }

// OnDelete forgets the object.
func (t *table[T]) OnDelete(o any) {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	t.put(o, true)
}

func (t *table[T]) put(o any, gone bool) {
	k, row, ok := t.read(o)
	if !ok {
		return
	}
	var before, after *T
	t.mu.Lock()
	if old, there := t.rows[k]; there {
		before = &old
	}
	if gone {
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

// prepare adds the handler to an informer that does not run yet, drops what
// nobody reads, and says once what keeps the list from being read.
func prepare(i cache.SharedIndexInformer, log logr.Logger, what string, h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	if err := i.SetTransform(func(o any) (any, error) {
		if m, err := meta.Accessor(o); err == nil {
			m.SetManagedFields(nil)
			m.SetAnnotations(nil)
		}
		return o, nil
	}); err != nil {
		return nil, err
	}
	last := ""
	if err := i.SetWatchErrorHandler(func(_ *cache.Reflector, err error) {
		if text := err.Error(); text != last {
			last = text
			log.Error(err, "cannot follow; what was last known stays", "what", what)
		}
	}); err != nil {
		return nil, err
	}
	return i.AddEventHandler(h)
}
