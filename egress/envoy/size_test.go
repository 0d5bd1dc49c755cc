package envoy_test

import (
	"fmt"
	"testing"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/kit"
)

// BenchmarkView makes the view of many entries, each of one HTTP and one TLS
// host, and its resources. KB is what one more entry costs each sidecar: the
// route configuration of its HTTP port and the listener of its TLS port. Beside
// it is the time of the model alone, which everything else is built on.
//
//	go test ./egress/envoy -run ^$ -bench View
func BenchmarkView(b *testing.B) {
	for _, n := range []int{1, 1000, 5000} {
		in := egress.Input{Mesh: egresstest.Mesh(b, "accessLogFile: /dev/stdout\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}\n")}
		for i := range n {
			in.ServiceEntries = append(in.ServiceEntries, egress.ServiceEntry{
				Meta: egress.Meta{Namespace: "shop", Name: fmt.Sprint(i)},
				Spec: &networkingv1alpha3.ServiceEntry{
					Hosts:      []string{fmt.Sprintf("host-%d.gen.test", i)},
					Resolution: networkingv1alpha3.ServiceEntry_DNS,
					Ports: []*networkingv1alpha3.ServicePort{
						{Number: 80, Name: "http", Protocol: "HTTP"}, {Number: 443, Name: "tls", Protocol: "TLS"},
					},
				},
			})
		}
		b.Run(fmt.Sprintf("entries=%d/model", n), func(b *testing.B) {
			for b.Loop() {
				egress.Build(in)
			}
		})
		b.Run(fmt.Sprintf("entries=%d/resources", n), func(b *testing.B) {
			m, problems := egress.Build(in)
			kit.Must(b, problems.Err())
			size := 0
			for b.Loop() {
				v := m.View("shop")
				listeners, err := envoy.Listeners(v)
				kit.Must(b, err)
				routes, err := envoy.Routes(v)
				kit.Must(b, err)
				size = 0
				for _, r := range append(listeners, routes...) {
					if r.Name == "80" || r.Name == "0.0.0.0_443" {
						size += len(r.Body.Value)
					}
				}
			}
			b.ReportMetric(float64(size)/1024, "KB")
		})
	}
}
