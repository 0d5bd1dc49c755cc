package active

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/debounce"
)

// quiet is the time without a change after which the texts are loaded, maxWait
// the longest from the first change to that.
const (
	quiet   = 50 * time.Millisecond
	maxWait = 500 * time.Millisecond
)

// watcher reports the texts of the ConfigMaps, first as they are at the start and
// then after each burst of changes, never the same texts twice.
type watcher struct {
	maps    config.Location
	changed func(config.Texts)
	deleted func(name string)
	signal  debounce.Signal

	mu    sync.Mutex
	texts config.Texts
}

func newWatcher(maps config.Location, changed func(config.Texts), deleted func(name string)) *watcher {
	return &watcher{maps: maps, changed: changed, deleted: deleted, signal: debounce.New()}
}

// run watches until the context ends, and returns its error. A ConfigMap or key
// that does not exist is an empty text, which means the defaults; but a deletion
// changes nothing, as it is one half of a replacement more often than a wish for
// the defaults, and is only reported.
func (w *watcher) run(ctx context.Context, client kubernetes.Interface) error {
	var synced []cache.InformerSynced
	var factories []informers.SharedInformerFactory
	for _, name := range []string{w.maps.Injector, w.maps.Mesh} {
		factory := informers.NewSharedInformerFactoryWithOptions(client, 0,
			informers.WithNamespace(w.maps.Namespace),
			informers.WithTweakListOptions(func(l *metav1.ListOptions) {
				l.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
			}))
		registration, err := factory.Core().V1().ConfigMaps().Informer().AddEventHandler(w.handler(name))
		if err != nil {
			return fmt.Errorf("watch ConfigMap %s/%s: %w", w.maps.Namespace, name, err)
		}
		synced = append(synced, registration.HasSynced)
		factories = append(factories, factory)
	}
	for _, factory := range factories {
		factory.Start(ctx.Done())
		defer factory.Shutdown()
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return fmt.Errorf("list ConfigMaps %s and %s in namespace %s: %w", w.maps.Injector, w.maps.Mesh, w.maps.Namespace, ctx.Err())
	}
	return w.follow(ctx)
}

func (w *watcher) handler(name string) cache.ResourceEventHandler {
	// A fake client does not select by field, so the name is compared here, too.
	return cache.FilteringResourceEventHandler{
		FilterFunc: func(obj any) bool {
			if last, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = last.Obj
			}
			cm, ok := obj.(*corev1.ConfigMap)
			return ok && cm.Name == name
		},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(obj any) { w.set(name, obj) },
			UpdateFunc: func(_, obj any) { w.set(name, obj) },
			DeleteFunc: func(any) { w.deleted(name) },
		},
	}
}

func (w *watcher) set(name string, obj any) {
	cm, ok := obj.(*corev1.ConfigMap)
	if !ok {
		return
	}
	w.mu.Lock()
	if name == w.maps.Injector {
		w.texts.Config, w.texts.Values = cm.Data["config"], cm.Data["values"]
	} else {
		w.texts.Mesh = cm.Data["mesh"]
	}
	w.mu.Unlock()
	w.signal.Notify()
}

func (w *watcher) get() config.Texts {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.texts
}

// follow reports at once, and then after each burst of changes.
func (w *watcher) follow(ctx context.Context) error {
	last := w.get()
	w.changed(last)
	for {
		if err := w.signal.Wait(ctx, quiet, maxWait); err != nil {
			return err
		}
		if next := w.get(); next != last {
			last = next
			w.changed(last)
		}
	}
}
