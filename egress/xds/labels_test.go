package xds

import (
	"context"
	"errors"
	"sync"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// podTable are the labels of pods, by namespace and name. A pod that can be read is not
// known before.
type podTable struct {
	mu    sync.Mutex
	known map[string]map[string]string
	read  map[string]map[string]string
	reads int
	err   error
}

func (p *podTable) Known(namespace, name, _ string) (map[string]string, bool, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of, known := p.known[namespace+"/"+name]
	return of, of["large"] != "", known
}

func (p *podTable) Read(_ context.Context, namespace, name, _ string) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reads++
	of, found := p.read[namespace+"/"+name]
	switch {
	case p.err != nil:
		return false, p.err
	case !found:
		return false, nil
	}
	p.known[namespace+"/"+name] = of
	return true, nil
}

func (p *podTable) set(name string, labels map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[name] = labels
}

// selecting is a Sidecar of namespace shop for pods with app=web, which exposes nothing.
func selecting(in *egress.Input) {
	in.Sidecars = append(in.Sidecars, egress.Sidecar{Meta: egress.Meta{Namespace: "shop", Name: "web"}, Spec: &networkingv1alpha3.Sidecar{
		WorkloadSelector: &networkingv1alpha3.WorkloadSelector{Labels: map[string]string{"app": "web"}},
		Egress:           []*networkingv1alpha3.IstioEgressListener{{Hosts: []string{"~/*"}}},
	}})
}

// has reports whether a sidecar with a token has the cluster of a declared host.
func (s *served) has(t *testing.T, token string) bool {
	t.Helper()
	c := s.dial(t, "Bearer "+token)
	c.subscribe(envoy.TypeCluster, binName)
	r, err := c.Recv()
	kit.Must(t, err)
	return len(r.Resources) == 1
}

// TestLabelsDecideTheView has two pods of a namespace, of which a Sidecar selects one.
func TestLabelsDecideTheView(t *testing.T) {
	s := serve(t)
	pods := &podTable{known: map[string]map[string]string{"shop/web": {"app": "web"}, "shop/api": {"app": "api"}, "shop/many": {"large": "yes"}},
		read: map[string]map[string]string{"shop/new": {"app": "web"}, "shop/newer": nil}}
	s.SetLabels(pods)
	s.Publish(modelOf(t, "REGISTRY_ONLY", entryOf(t, "shop", "httpbin", httpbin), selecting))
	for token, want := range map[string]bool{
		"shop/web": false, "shop/api": true, "shop/new": false, "shop/newer": true,
		"shop/many": false, // too many labels to be kept: it sees nothing
		"shop":      false, // the token is bound to no pod
		"bank/web":  true,  // no Sidecar of its namespace selects: nothing is read
	} {
		if got := s.has(t, token); got != want {
			t.Errorf("%s has the host: %v, want %v", token, got, want)
		}
	}
	if pods.reads != 2 {
		t.Errorf("%d pods were read, want 2", pods.reads)
	}
	for _, err := range []error{nil, errors.New("unavailable")} {
		pods.err = err
		c := s.dial(t, "Bearer shop/unknown")
		_ = c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeCluster})
		if r, err := c.Recv(); err == nil {
			t.Errorf("a pod that is not known has %v", r)
		}
	}
}

// TestRelabelled changes the labels of a pod whose sidecar is connected.
func TestRelabelled(t *testing.T) {
	s := serve(t)
	pods := &podTable{known: map[string]map[string]string{"shop/web": {"app": "api"}}}
	s.SetLabels(pods)
	s.Publish(modelOf(t, "REGISTRY_ONLY", entryOf(t, "shop", "httpbin", httpbin), selecting))
	c := s.dial(t, "Bearer shop/web")
	c.subscribe(envoy.TypeCluster, binName)
	c.want("Cluster +" + binName)
	pods.set("shop/web", map[string]string{"app": "web"})
	s.Relabelled("shop", "other") // another pod
	s.Relabelled("shop", "web")
	c.want("Cluster -" + binName)
	// A second change within a second is not lost.
	pods.set("shop/web", map[string]string{"app": "api"})
	s.Relabelled("shop", "web")
	c.want("Cluster +" + binName)
	// While labels are not known, the sidecar keeps what it has.
	pods.mu.Lock()
	pods.known = map[string]map[string]string{}
	pods.mu.Unlock()
	s.Publish(modelOf(t, "ALLOW_ANY", selecting))
	pods.set("shop/web", map[string]string{"app": "api"})
	s.Relabelled("", "")
	c.want("Cluster -" + binName)
}

// Pods with the same answer share one view.
func TestWorkloadsShareViews(t *testing.T) {
	s := New(nil, Observer{}, Limits{})
	s.Publish(modelOf(t, "REGISTRY_ONLY", entryOf(t, "shop", "httpbin", httpbin), selecting))
	g := s.current.Load()
	views := map[*view]bool{}
	for _, labels := range []map[string]string{nil, {"app": "api"}, {"app": "api", "x": "y"}, {"app": "web"}, {"app": "web", "x": "y"}} {
		v, _, err := g.view(egress.Workload{Namespace: "shop", Labels: labels}, nil)
		kit.Must(t, err)
		views[v] = true
	}
	if len(views) != 2 {
		t.Errorf("%d views, want 2", len(views))
	}
}
