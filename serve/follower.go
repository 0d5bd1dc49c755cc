package serve

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// Edits that come together are taken up together: quiet is how long to wait for
// another one, most how long at the outside. An edit is to be in force within a
// second, so both are far below it.
const (
	quiet = 50 * time.Millisecond
	most  = 250 * time.Millisecond
	// retryAfter is the pause where the API server did not answer.
	retryAfter = 2 * time.Second
)

// follower watches the two ConfigMaps, those alone, and hands them to the loader.
type follower struct {
	loader      *loader
	changed     chan struct{} // holds one signal: something changed
	watches     [2]*watched   // the injector's and the mesh's
	prepareOnce func(context.Context) error
}

type watched struct {
	key    string
	store  cache.Store
	worker cache.Controller
}

func newFollower(c *rest.Config, l *loader, prepare func(context.Context) error) (*follower, error) {
	client, err := kubernetes.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("make a client for the ConfigMaps: %w", err)
	}
	f := &follower{loader: l, changed: make(chan struct{}, 1), prepareOnce: prepare}
	for i, name := range []string{l.names.injector, l.names.mesh} {
		f.watches[i] = f.watch(client, l.names.namespace, name)
	}
	return f, nil
}

func (f *follower) watch(client kubernetes.Interface, namespace, name string) *watched {
	w := &watched{key: namespace + "/" + name}
	w.store, w.worker = cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(client.CoreV1().RESTClient(), "configmaps", namespace,
			fields.OneTermEqualSelector("metadata.name", name)),
		ObjectType: &corev1.ConfigMap{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { f.signal() },
			DeleteFunc: func(any) { f.signal() },
			UpdateFunc: func(before, now any) {
				if before.(*corev1.ConfigMap).ResourceVersion != now.(*corev1.ConfigMap).ResourceVersion {
					f.signal()
				}
			},
		},
	})
	return w
}

func (f *follower) signal() {
	select {
	case f.changed <- struct{}{}:
	default: // one is waiting already, and whoever takes it sees this change too
	}
}

// get is nil where the ConfigMap does not exist.
func (w *watched) get() *corev1.ConfigMap {
	object, ok, err := w.store.GetByKey(w.key)
	if err != nil || !ok {
		return nil
	}
	return object.(*corev1.ConfigMap)
}

// NeedLeaderElection tells the manager that every replica follows.
func (f *follower) NeedLeaderElection() bool { return false }

// Start follows until ctx ends. It is a manager's runnable.
func (f *follower) Start(ctx context.Context) error {
	for _, w := range f.watches {
		go w.worker.RunWithContext(ctx)
	}
	// Both must have been listed once: half a configuration is none.
	if !cache.WaitForCacheSync(ctx.Done(), f.watches[0].worker.HasSynced, f.watches[1].worker.HasSynced) {
		return nil
	}
	f.prepare(ctx)
	f.signal() // there may be no ConfigMap at all, and then nothing signals
	for f.wait(ctx) {
		if err := f.loader.load(f.watches[0].get(), f.watches[1].get()); err != nil {
			f.loader.log.Error(err, "configuration not judged, trying again", "after", retryAfter.String())
			time.AfterFunc(retryAfter, f.signal)
		}
	}
	return nil
}

// prepare finds out about the cluster before anything is in force.
func (f *follower) prepare(ctx context.Context) {
	for {
		err := f.prepareOnce(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		f.loader.log.Error(err, "cluster not known yet, trying again", "after", retryAfter.String())
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryAfter):
		}
	}
}

// wait returns once something changed and nothing has for a moment; false when
// ctx ended.
func (f *follower) wait(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-f.changed:
	}
	end := time.After(most)
	for {
		select {
		case <-ctx.Done():
			return false
		case <-end:
			return true
		case <-time.After(quiet):
			return true
		case <-f.changed:
		}
	}
}
