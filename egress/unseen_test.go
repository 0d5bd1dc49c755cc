package egress_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/objects"
)

// TestUnseenObjectsChangeNothing adds an object that a workload does not see to random
// objects, many of which have the same hosts, ports and addresses: what its sidecar gets is
// the same in all bytes. So no declaration of one namespace changes a port of another.
func TestUnseenObjectsChangeNothing(t *testing.T) {
	const worlds = 2000
	kinds, effects := map[string]int{}, 0
	for seed := range uint64(worlds) {
		r := rand.New(rand.NewPCG(seed, 11))
		in := egresstest.RandomTenants(t, r, 6)
		w := egress.Workload{Namespace: "shop", Labels: map[string]string{"app": objects.Pick(r, "web", "db")}}
		hidden := r.IntN(2) == 0
		if hidden {
			ownAndRootOnly(r, &in)
		}
		m, _ := egress.Build(in)
		before := m.ViewOf(w)
		kind, owner := addUnseen(r, &in, hidden)
		kinds[kind]++
		after, _ := egress.Build(in)
		view := after.ViewOf(w)
		if view.Version() != before.Version() || !bytes.Equal(resourcesOf(t, view), resourcesOf(t, before)) {
			t.Fatalf("seed %d: %s of %s changes the view\nbefore %v\nafter  %v", seed, kind, owner, before.Hosts(), view.Hosts())
		}
		if seed%4 == 0 && after.ViewOf(egress.Workload{Namespace: owner}).Version() != m.ViewOf(egress.Workload{Namespace: owner}).Version() {
			effects++
		}
	}
	t.Logf("%v; of a quarter %d have an effect in their own namespace", kinds, effects)
	if len(kinds) < 6 || effects < worlds/12 {
		t.Error("too few objects of a kind, or with an effect: the test shows nothing")
	}
}

// ownAndRootOnly has one Sidecar of shop, which hides what other namespaces export.
func ownAndRootOnly(r *rand.Rand, in *egress.Input) {
	in.Sidecars = slices.DeleteFunc(in.Sidecars, func(s egress.Sidecar) bool { return s.Namespace == "shop" })
	in.Sidecars = append(in.Sidecars, egress.Sidecar{Meta: egress.Meta{Namespace: "shop", Name: "own"}, Spec: &networkingv1alpha3.Sidecar{
		Egress: []*networkingv1alpha3.IstioEgressListener{{Hosts: objects.Pick(r, []string{"./*", "istio-system/*"}, []string{"shop/*"}, []string{"*/*", "~bank/*", "~gym/*"})}},
	}})
}

// addUnseen adds an object of another namespace that the workloads of shop do not see, and
// returns its kind. Where shop has a Sidecar that hides it, it is exported to all.
func addUnseen(r *rand.Rand, in *egress.Input, hidden bool) (kind, owner string) {
	owner = objects.Pick(r, "bank", "gym")
	meta := egress.Meta{Namespace: owner, Name: "unseen", Created: time.Unix(int64(r.IntN(5)), 0)}
	private := objects.Pick(r, []string{"."}, []string{"gym", "bank"}, []string{"nobody", "."})
	if hidden {
		private = []string{"*"}
	}
	switch r.IntN(4) {
	case 0:
		spec := &networkingv1alpha3.Sidecar{
			Egress:                []*networkingv1alpha3.IstioEgressListener{{Hosts: []string{objects.Pick(r, "./*", "*/*", "~shop/*")}}},
			OutboundTrafficPolicy: objects.Pick(r, nil, &networkingv1alpha3.OutboundTrafficPolicy{}, &networkingv1alpha3.OutboundTrafficPolicy{Mode: networkingv1alpha3.OutboundTrafficPolicy_ALLOW_ANY}),
		}
		if r.IntN(2) == 0 {
			spec.WorkloadSelector = &networkingv1alpha3.WorkloadSelector{Labels: map[string]string{"app": "web"}}
		}
		in.Sidecars = append(in.Sidecars, egress.Sidecar{Meta: meta, Spec: spec})
		return "Sidecar", owner
	case 1:
		in.InCluster = append(in.InCluster, egress.InClusterAddress{
			Address: netip.MustParseAddr(objects.Pick(r, "198.51.100.7", "192.0.2.1", "10.96.0.30")), Service: egress.ServiceName{Namespace: owner, Name: "unseen"},
			Namespace: objects.Pick(r, "", owner), ExportTo: private,
		})
		return "Service", owner
	case 2:
		v := objects.VirtualService(r, 100, false).Spec
		v.ExportTo = private
		in.VirtualServices = append(in.VirtualServices, egress.VirtualService{Meta: meta, Spec: v})
		return fmt.Sprint("VirtualService, exported: ", hidden), owner
	}
	e := objects.ServiceEntry(r, 100).Spec
	e.ExportTo = private
	in.ServiceEntries = append(in.ServiceEntries, egress.ServiceEntry{Meta: meta, Spec: e})
	return fmt.Sprint("ServiceEntry, exported: ", hidden), owner
}
