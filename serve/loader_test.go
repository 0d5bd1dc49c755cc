package serve

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/config/watch"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/webhook"
)

// notes keeps events.
type notes []string

func (n *notes) Eventf(_, _ runtime.Object, _, reason, _, note string, args ...any) {
	*n = append(*n, reason+": "+fmt.Sprintf(note, args...))
}

func newTestLoader(t *testing.T) (*loader, *notes) {
	t.Helper()
	metrics, err := webhook.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	events := &notes{}
	o := watch.Options{Namespace: "istio-system"}
	return &loader{
		settings: &atomic.Pointer[inject.Injector]{}, metrics: metrics, options: o, events: events, log: logr.Discard(),
		client:   fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Injector()}}),
		accepted: func(*config.Config) {},
	}, events
}

func facts(t *testing.T, texts ...string) *ranges.ClusterData {
	t.Helper()
	f, err := ranges.Read([]ranges.Document{{Name: "d", Text: strings.Join(texts, "\n"), Answer: true}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The twin on a real API server is TestClusterRangesAreFollowed.
func TestLoaderFollowsEvidence(t *testing.T) {
	const (
		services = `{"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "spec": {"cidrs": ["10.96.0.0/16"]}}`
		grown    = `{"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "spec": {"cidrs": ["10.98.0.0/16"]}}`
		pool     = `{"apiVersion": "crd.projectcalico.org/v1", "kind": "IPPool", "spec": {"cidr": "10.244.0.0/16"}}`
	)
	l, events := newTestLoader(t)
	said := func(parts ...string) {
		t.Helper()
		if len(*events) != len(parts) {
			t.Fatalf("%d events, want %d: %q", len(*events), len(parts), *events)
		}
		for i, p := range parts {
			if !strings.Contains((*events)[i], p) {
				t.Errorf("event %q, want %q", (*events)[i], p)
			}
		}
		*events = nil
	}
	captured := func(want string) {
		t.Helper()
		i := l.settings.Load()
		if i == nil {
			t.Fatal("nothing is in force")
		}
		r, err := i.Inject(inject.Request{Pod: []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"a","image":"i"}]}}`)})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Settings.IncludeIPRanges.String(); got != want {
			t.Errorf("captured %s, want %s", got, want)
		}
	}
	l.load(config.Texts{Values: "global: {proxy: {includeIPRanges: cluster}}"})
	said("no configuration is in force")
	l.learned(facts(t, services))
	said("pod ranges: the documents do not hold it; this supplies them: kubectl")
	l.learned(facts(t, services))
	said() // the same again is not said again
	if l.settings.Load() != nil {
		t.Fatal("a half answer is in force")
	}
	l.learned(facts(t, services, pool))
	captured("10.96.0.0/16,10.244.0.0/16")
	*events = nil
	l.learned(facts(t, services, pool))
	said()
	l.learned(facts(t, services, grown, pool))
	captured("10.96.0.0/16,10.98.0.0/16,10.244.0.0/16")
	said("ConfigurationInForce")
	l.learned(facts(t, services, grown)) // the pools may not be read any more
	captured("10.96.0.0/16,10.98.0.0/16,10.244.0.0/16")
	said("ConfigurationInForce", `RangesEvidenceLost: the evidence for "cluster" was lost: pod ranges: `)
	l.load(config.Texts{Values: "global: {tag: other, proxy: {includeIPRanges: cluster}}"})
	captured("10.96.0.0/16,10.98.0.0/16,10.244.0.0/16")
	*events = nil
	l.load(config.Texts{Values: "global: {platform: k3s, proxy: {includeIPRanges: cluster}}"}) // another question
	captured("10.42.0.0/16,10.96.0.0/16,10.98.0.0/16")
	*events = nil
	l.load(config.Texts{Values: "global: {proxy: {includeIPRanges: nonsense/}}"})
	said("stays in force")
	l.learned(facts(t, services, pool)) // said once; what is in force follows
	said()
	captured("10.96.0.0/16,10.244.0.0/16")
}
