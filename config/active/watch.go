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

// watcher reports the content of the ConfigMaps, first as it is at the start and
// then after each burst of changes, never the same content twice.
type watcher struct {
	maps    config.Location
	changed func(content)
	signal  debounce.Signal

	mu      sync.Mutex
	content content
}

func newWatcher(maps config.Location, changed func(content)) *watcher {
	return &watcher{maps: maps, changed: changed, signal: debounce.New()}
}

// run watches until the context ends, and returns its error.
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
			DeleteFunc: func(any) { w.set(name, nil) },
		},
	}
}

// set records a ConfigMap as it is now; nil is one that does not exist.
func (w *watcher) set(name string, obj any) {
	cm, ok := obj.(*corev1.ConfigMap)
	if !ok && obj != nil {
		return
	}
	w.mu.Lock()
	w.content.set(w.maps, name, cm)
	w.mu.Unlock()
	w.signal.Notify()
}

func (w *watcher) get() content {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.content
}

// follow reports at once, and then after each burst of changes.
func (w *watcher) follow(ctx context.Context) error {
	last := w.get()
	w.changed(last)
	for {
		if err := w.signal.Wait(ctx, quiet, maxWait); err != nil {
			return err
		}
		if next := w.get(); !next.equal(last) {
			last = next
			w.changed(last)
		}
	}
}
