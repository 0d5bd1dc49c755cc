package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/outrider-mesh/outrider/internal/debounce"
)

var podResource = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// Limits of pods.
const (
	// maxLabels is the size of a pod's labels that are kept. Ordinary pods have some
	// hundred bytes; without a limit, a namespace could have gigabytes.
	maxLabels = 8 << 10
	// podReads are the pods read one by one, per second, and podBurst at once: those of
	// sidecars that connect before the watch has delivered their pod.
	podReads = 50
	podBurst = 200
)

// Pods are the labels of pods, for Sidecars that select by them. They are read from the
// API server: what a sidecar states about itself has no effect. Only metadata is read, and
// only from when a Sidecar selects by labels on.
type Pods struct {
	client  metadata.Interface
	log     logr.Logger
	changed func(namespace, name string)
	needed  debounce.Signal
	need    atomic.Bool
	synced  atomic.Bool
	reads   *rate.Limiter

	mu   sync.Mutex
	pods map[key]pod
}

// pod is what is stored: pods of one workload share their labels.
type pod struct {
	uid    string
	labels unique.Handle[string] // sorted, one a line
	large  bool                  // over maxLabels
}

// NewPods makes an empty set; changed is called for each pod whose labels change, and with
// empty names when all are known. Its client has no limit of requests: the reads have one
// of theirs, and must not wait for others.
func NewPods(cluster *rest.Config, log logr.Logger, changed func(namespace, name string)) (*Pods, error) {
	unlimited := rest.CopyConfig(cluster)
	unlimited.QPS = -1
	client, err := metadata.NewForConfig(unlimited)
	if err != nil {
		return nil, fmt.Errorf("create client of pods: %w", err)
	}
	return &Pods{client: client, log: log, changed: changed, needed: debounce.New(), reads: rate.NewLimiter(podReads, podBurst), pods: map[key]pod{}}, nil
}

// Need is called with each model: whether labels are needed from now on.
func (p *Pods) Need(labels bool) {
	if labels && !p.need.Swap(true) {
		p.needed.Notify()
	}
}

// NeedLeaderElection is false: every replica serves sidecars.
func (p *Pods) NeedLeaderElection() bool { return false }

// Start watches pods, once labels are needed, until ctx is done.
func (p *Pods) Start(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-p.needed:
	}
	informer := metadatainformer.NewFilteredMetadataInformer(p.client, podResource, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
	handler, err := prepare(informer, p.log, "pods", cache.ResourceEventHandlerFuncs{
		AddFunc: p.put, UpdateFunc: func(_, o any) { p.put(o) }, DeleteFunc: p.remove,
	})
	if err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	go func() {
		if cache.WaitForCacheSync(ctx.Done(), handler.HasSynced) {
			p.synced.Store(true)
			p.changed("", "")
		}
	}()
	p.log.Info("watching the labels of pods: a Sidecar selects by them")
	informer.RunWithContext(ctx)
	return nil
}

func (p *Pods) put(o any) {
	m, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return
	}
	k, now := key{m.Namespace, m.Name}, readPod(m)
	p.mu.Lock()
	before, had := p.pods[k]
	p.pods[k] = now
	p.mu.Unlock()
	if !had || before != now {
		p.changed(m.Namespace, m.Name)
	}
}

func (p *Pods) remove(o any) {
	if tombstone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = tombstone.Obj
	}
	if m, ok := o.(*metav1.PartialObjectMetadata); ok {
		p.mu.Lock()
		delete(p.pods, key{m.Namespace, m.Name})
		p.mu.Unlock()
	}
}

// largeLabels marks a pod without its labels, which are over maxLabels.
const largeLabels = "large"

// slimPod is what an informer stores of a pod.
func slimPod(m *metav1.PartialObjectMetadata) *metav1.PartialObjectMetadata {
	out := &metav1.PartialObjectMetadata{}
	out.Namespace, out.Name, out.UID, out.ResourceVersion = m.Namespace, m.Name, m.UID, m.ResourceVersion
	size := 0
	for name, value := range m.Labels {
		size += len(name) + len(value)
	}
	if size > maxLabels {
		out.Annotations = map[string]string{largeLabels: ""}
	} else {
		out.Labels = m.Labels
	}
	return out
}

// readPod reads what slimPod has made.
func readPod(m *metav1.PartialObjectMetadata) pod {
	_, large := m.Annotations[largeLabels]
	return pod{string(m.UID), unique.Make(joinLabels(m.Labels)), large}
}

// Known are the labels of a pod, by its name and UID; false while they are not known. The
// labels of one that has too many are nil, and large is set.
func (p *Pods) Known(namespace, name, uid string) (of map[string]string, large, known bool) {
	p.mu.Lock()
	found, ok := p.pods[key{namespace, name}]
	p.mu.Unlock()
	switch {
	case !ok || found.uid != uid:
		return nil, false, false
	case found.large:
		return nil, true, true
	}
	return splitLabels(found.labels.Value()), false, true
}

// Read reads a pod that is not known; false: it does not exist, or another one has its
// name.
func (p *Pods) Read(ctx context.Context, namespace, name, uid string) (exists bool, err error) {
	const timeout = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := p.reads.Wait(ctx); err != nil {
		return false, fmt.Errorf("read pod %s/%s: %w", namespace, name, err)
	}
	m, err := p.client.Resource(podResource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) || err == nil && string(m.UID) != uid:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read pod %s/%s: %w", namespace, name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, has := p.pods[key{namespace, name}]; !has || !p.synced.Load() {
		p.pods[key{namespace, name}] = readPod(slimPod(m))
	}
	return true, nil
}

// joinLabels is a text for labels: equal labels have equal texts.
func joinLabels(of map[string]string) string {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(of)) {
		b = append(append(append(append(b, name...), '='), of[name]...), '\n')
	}
	return string(b)
}

// splitLabels is the reverse: neither names nor values contain the separators.
func splitLabels(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		out[name] = value
	}
	return out
}
