// Package watch follows the two ConfigMaps of config in a cluster and keeps
// the last good configuration.
//
// Run reports texts and judges nothing; Store judges and keeps. What may be
// assumed: the callback runs on one goroutine, never twice with the same
// texts, and first with what the cluster has at the start.
package watch

import (
	"cmp"
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
	"github.com/outrider-mesh/outrider/internal/revision"
)

// Options say what to follow.
type Options struct {
	Namespace string
	Revision  revision.Revision
	Quiet     time.Duration // without a change before the callback; 0 means 50 ms
	Longest   time.Duration // from the first change to the callback; 0 means 500 ms
	// Gone is told when a ConfigMap that was there is deleted; its texts stay
	// as they were. It may be nil.
	Gone func(name string)
}

// ConfigMaps are the ones that are followed.
func (o Options) ConfigMaps() config.ConfigMaps {
	return config.ConfigMapsOf(o.Namespace, o.Revision)
}

// Injector is the name of the ConfigMap with the keys config and values.
func (o Options) Injector() string { return o.ConfigMaps().Injector }

// Mesh is the name of the ConfigMap with the key mesh.
func (o Options) Mesh() string { return o.ConfigMaps().Mesh }

// Labels name the texts in messages.
func (o Options) Labels() config.Labels { return o.ConfigMaps().Labels() }

// Run follows the ConfigMaps until the context ends, and returns its error. It
// needs get, list and watch on the two names only. A ConfigMap or key that
// does not exist is an empty text, which means the defaults; but a deletion
// changes nothing, as it is one half of a replacement more often than a wish
// for the defaults, and Options.Gone reports it.
func Run(ctx context.Context, client kubernetes.Interface, o Options, changed func(config.Texts)) error {
	f := &follower{options: o, signal: debounce.New()}
	var synced []cache.InformerSynced
	var factories []informers.SharedInformerFactory
	for _, name := range []string{o.Injector(), o.Mesh()} {
		factory := informers.NewSharedInformerFactoryWithOptions(client, 0,
			informers.WithNamespace(o.Namespace),
			informers.WithTweakListOptions(func(l *metav1.ListOptions) {
				l.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
			}))
		registration, err := factory.Core().V1().ConfigMaps().Informer().AddEventHandler(f.handler(name))
		if err != nil {
			return fmt.Errorf("watch ConfigMap %s/%s: %w", o.Namespace, name, err)
		}
		synced = append(synced, registration.HasSynced)
		factories = append(factories, factory)
	}
	for _, factory := range factories {
		factory.Start(ctx.Done())
		defer factory.Shutdown()
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return fmt.Errorf("read the ConfigMaps %s and %s in namespace %s: %w", o.Injector(), o.Mesh(), o.Namespace, ctx.Err())
	}
	return f.run(ctx, changed)
}

// follower holds what the informers have seen.
type follower struct {
	options Options
	signal  debounce.Signal

	mu    sync.Mutex
	texts config.Texts
}

func (f *follower) handler(name string) cache.ResourceEventHandler {
	// A fake client does not select by field, so the name is looked at here too.
	return cache.FilteringResourceEventHandler{
		FilterFunc: func(obj any) bool {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			cm, ok := obj.(*corev1.ConfigMap)
			return ok && cm.Name == name
		},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(obj any) { f.take(name, obj) },
			UpdateFunc: func(_, obj any) { f.take(name, obj) },
			DeleteFunc: func(any) {
				if f.options.Gone != nil {
					f.options.Gone(name)
				}
			},
		},
	}
}

func (f *follower) take(name string, obj any) {
	cm, ok := obj.(*corev1.ConfigMap)
	if !ok {
		return
	}
	f.mu.Lock()
	if name == f.options.Injector() {
		f.texts.Config, f.texts.Values = cm.Data["config"], cm.Data["values"]
	} else {
		f.texts.Mesh = cm.Data["mesh"]
	}
	f.mu.Unlock()
	f.signal.Raise()
}

func (f *follower) now() config.Texts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.texts
}

// run calls back at once, and then after each burst of changes.
func (f *follower) run(ctx context.Context, changed func(config.Texts)) error {
	last := f.now()
	changed(last)
	quiet, longest := cmp.Or(f.options.Quiet, 50*time.Millisecond), cmp.Or(f.options.Longest, 500*time.Millisecond)
	for {
		if err := f.signal.Wait(ctx, quiet, longest); err != nil {
			return err
		}
		if next := f.now(); next != last {
			last = next
			changed(last)
		}
	}
}
