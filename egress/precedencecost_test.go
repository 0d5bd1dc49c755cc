package egress_test

import (
	"fmt"
	"testing"
	"time"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
)

// rivals are entries of two namespaces, which declare the same n hosts for all.
func rivals(b *testing.B, n int) *egress.Model {
	b.Helper()
	var in egress.Input
	for i := range 2 * n {
		in.ServiceEntries = append(in.ServiceEntries, egress.ServiceEntry{
			Meta: egress.Meta{Namespace: []string{"shop", "bank"}[i%2], Name: fmt.Sprint("e", i), Created: time.Unix(int64(i), 0)},
			Spec: &networkingv1alpha3.ServiceEntry{
				Hosts: []string{fmt.Sprintf("h%d.test", i/2)}, ExportTo: []string{"*"}, Resolution: networkingv1alpha3.ServiceEntry_DNS,
				Ports: []*networkingv1alpha3.ServicePort{{Number: 443, Name: "tls", Protocol: "TLS"}},
			},
		})
	}
	m, problems := egress.Build(in)
	kit.Must(b, problems.Err())
	return m
}

// BenchmarkPrecedence has a warning for each host: what one takes does not grow with their
// number.
func BenchmarkPrecedence(b *testing.B) {
	var took []float64
	for _, n := range []int{500, 4000} {
		b.Run(fmt.Sprint(n, " hosts"), func(b *testing.B) {
			m := rivals(b, n)
			for b.Loop() {
				if got := len(m.Precedence()); got < 2*n {
					b.Fatalf("%d warnings", got)
				}
			}
			each := float64(b.Elapsed().Nanoseconds()) / float64(b.N*n)
			took = append(took, each)
			b.ReportMetric(each, "ns/host")
			b.ReportMetric(each/took[0], "times/first")
		})
	}
}
