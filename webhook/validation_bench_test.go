package webhook

import (
	"fmt"
	"testing"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
)

// BenchmarkObject validates one entry alone, and beside others: what the others
// add is the price of the warnings about conflicts.
func BenchmarkObject(b *testing.B) {
	body := reviewOf(entryOf(goodEntry), about("networking.istio.io", "v1", "serviceentries"))
	for _, others := range []int{0, 1000, 5000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			in := egress.Input{Mesh: egress.CompileMesh(config.Default().Mesh)}
			for i := range others {
				in.ServiceEntries = append(in.ServiceEntries, egress.ServiceEntry{
					Meta: egress.Meta{Namespace: "shop", Name: fmt.Sprintf("e%d", i)},
					Spec: &networkingv1alpha3.ServiceEntry{
						Hosts: []string{fmt.Sprintf("h%d.example", i)}, Resolution: networkingv1alpha3.ServiceEntry_DNS,
						Ports: []*networkingv1alpha3.ServicePort{{Number: 80, Name: "http", Protocol: "HTTP"}},
					},
				})
			}
			fixture := newFixture(b, nil)
			fixture.options.Objects = func() (egress.Input, bool) { return in, others > 0 }
			h := NewObjectHandler(fixture.options)
			for b.Loop() {
				if got := answerOf(b, post(h, body)); !got.Allowed {
					b.Fatal(got.Result)
				}
			}
		})
	}
}
