package xds

import (
	"fmt"
	"testing"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
)

// TestViewsOfOtherNamespacesStay changes an entry that one namespace sees: only its view
// is made again. Namespaces with Sidecars of their own that see the same have one view.
func TestViewsOfOtherNamespacesStay(t *testing.T) {
	own := func(host string) string {
		return fmt.Sprintf(`{"hosts": [%q], "exportTo": ["."], "resolution": "DNS", "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]}`, host)
	}
	sidecars := func(in *egress.Input) {
		for _, ns := range []string{"gym", "pool"} {
			in.Sidecars = append(in.Sidecars, egress.Sidecar{Meta: egress.Meta{Namespace: ns, Name: "default"}, Spec: &networkingv1alpha3.Sidecar{
				Egress: []*networkingv1alpha3.IstioEgressListener{{Hosts: []string{"./*", "root/*"}}},
			}})
		}
	}
	s := serve(t)
	publish := func(host string) map[string]*view {
		s.Publish(modelOf(t, "ALLOW_ANY", entryOf(t, "shop", "own", own(host)), entryOf(t, "bank", "own", own("bank.example.com")), sidecars))
		out := map[string]*view{}
		for _, ns := range []string{"shop", "bank", "gym", "pool", "none"} {
			v, _, err := s.current.Load().view(egress.Workload{Namespace: ns}, nil)
			kit.Must(t, err)
			out[ns] = v
		}
		return out
	}
	before, after := publish("a.example.com"), publish("b.example.com")
	for ns := range before {
		if same := before[ns] == after[ns]; same != (ns != "shop") {
			t.Errorf("%s: the same view: %v", ns, same)
		}
	}
	if n := len(s.current.Load().bySum); after["gym"] != after["pool"] || n != 4 {
		t.Errorf("%d views of shop, bank, the two with a Sidecar, and none", n)
	}
	if again := publish("a.example.com"); again["shop"] == before["shop"] {
		t.Error("a view of two generations ago is kept")
	}
}
