package egresstest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/objects"
)

// RandomTenants is an input with n random ServiceEntries and VirtualServices of several
// namespaces, which export them to different ones, and with Sidecars and Services.
func RandomTenants(t testing.TB, r *rand.Rand, n int) egress.Input {
	t.Helper()
	in := egress.Input{Mesh: Mesh(t, "accessLogFile: /dev/stdout\noutboundTrafficPolicy: {mode: "+objects.Pick(r, "ALLOW_ANY", "REGISTRY_ONLY")+"}\n"+
		objects.Pick(r, "", "defaultServiceExportTo: ['.']\ndefaultVirtualServiceExportTo: ['.']\n", "defaultVirtualServiceExportTo: [shop, bank]\n"))}
	AddTenants(r, &in, n, false)
	return in
}

// AddTenants adds what RandomTenants has to a mesh. When it is to be certain, routes leave
// nothing to chance but the choice among weighted destinations.
func AddTenants(r *rand.Rand, in *egress.Input, n int, certain bool) {
	for i := range n {
		e, v := objects.ServiceEntry(r, i), objects.VirtualService(r, i, certain)
		e.Spec.ExportTo, v.Spec.ExportTo = randomExports(r, true), randomExports(r, false)
		in.ServiceEntries = append(in.ServiceEntries, egress.ServiceEntry{Meta: egress.Meta{Namespace: e.Namespace, Name: e.Name, Created: e.Created}, Spec: e.Spec})
		if i%2 == 0 {
			in.VirtualServices = append(in.VirtualServices, egress.VirtualService{Meta: egress.Meta{Namespace: v.Namespace, Name: v.Name, Created: v.Created}, Spec: v.Spec})
		}
	}
	for i, ns := range []string{"shop", "bank", "istio-system"} {
		in.InCluster = append(in.InCluster, egress.InClusterAddress{
			Address: netip.AddrFrom4([4]byte{10, 96, 0, byte(77 + i)}), Ports: objects.Pick(r, nil, []uint16{80, 443}),
			Service: egress.ServiceName{Namespace: ns, Name: "web"}, ExportTo: objects.Pick(r, nil, nil, []string{"."}, []string{"shop"}),
		})
	}
	for i := range r.IntN(4) {
		in.Sidecars = append(in.Sidecars, egress.Sidecar{
			Meta: egress.Meta{Namespace: objects.Pick(r, "shop", "shop", "bank", "istio-system"), Name: fmt.Sprint("s", i), Created: time.Unix(int64(r.IntN(5)), 0)},
			Spec: randomSidecar(r),
		})
	}
}

func randomExports(r *rand.Rand, entry bool) []string {
	lists := [][]string{nil, nil, {"*"}, {"*"}, {"."}, {"shop"}, {"bank", "."}, {"shop", "."}}
	if entry {
		lists = append(lists, []string{"~"})
	}
	return objects.Pick(r, lists...)
}

func randomSidecar(r *rand.Rand) *networkingv1alpha3.Sidecar {
	s := &networkingv1alpha3.Sidecar{}
	if r.IntN(2) == 0 {
		s.WorkloadSelector = &networkingv1alpha3.WorkloadSelector{Labels: map[string]string{"app": objects.Pick(r, "web", "db")}}
	}
	s.OutboundTrafficPolicy = objects.Pick(r, nil, nil, &networkingv1alpha3.OutboundTrafficPolicy{}, &networkingv1alpha3.OutboundTrafficPolicy{Mode: networkingv1alpha3.OutboundTrafficPolicy_ALLOW_ANY})
	for _, port := range [][]uint32{nil, {0}, {0}, {0}, {80, 0}, {443, 9000, 0}, {8080}}[r.IntN(7)] {
		l := &networkingv1alpha3.IstioEgressListener{}
		if port != 0 {
			l.Port = &networkingv1alpha3.SidecarPort{Number: port}
		}
		for range 1 + r.IntN(3) {
			l.Hosts = append(l.Hosts, objects.Pick(r, "", "", "", "~")+objects.Pick(r, ".", "shop", "bank", "*", "*", "istio-system")+"/"+
				objects.Pick(r, "*", "*", "*", "*.example", "*.a.example", "h1.a.example", "h2.b.example", "*.svc.cluster.local"))
		}
		s.Egress = append(s.Egress, l)
	}
	return s
}
