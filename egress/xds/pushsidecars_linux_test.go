package xds

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
)

// pushNamespaces are those of the simulated sidecars of BenchmarkPushSidecars.
const pushNamespaces = 100

// BenchmarkPushSidecars switches the mesh's mode of 1,000 sidecars in 100 namespaces, with
// 1,000 entries, in turns without Sidecars and with one in each namespace. It prints the
// medians of the times until all sidecars have their listeners and routes, their ratio,
// and that of the server's processor time.
//
//	go test ./egress/xds -run ^$ -bench PushSidecars -benchtime 15x
func BenchmarkPushSidecars(b *testing.B) {
	for name, hosts := range map[string]func(int) []string{
		"same": func(int) []string { return []string{"shop/*"} },
		"own":  func(int) []string { return []string{"./*", "shop/*"} },
		"parts": func(i int) []string {
			return []string{fmt.Sprintf("shop/host-%d.gen.test", i), "shop/*", fmt.Sprintf("~shop/host-%d.gen.test", 500+i)}
		},
	} {
		b.Run(name, func(b *testing.B) { benchPushSidecars(b, hosts) })
	}
}

func pushNamespace(n int) string { return fmt.Sprintf("push-%03d", n%pushNamespaces) }

func benchPushSidecars(b *testing.B, hosts func(int) []string) {
	const entries, clients = 1000, 1000
	var pods atomic.Int64
	s := serveBy(b, unlimited, AuthenticatorFunc(func(context.Context, string) (Identity, error) {
		n := int(pods.Add(1))
		return Identity{Namespace: pushNamespace(n), Pod: fmt.Sprint("pod-", n)}, nil
	}))
	var models [2][2]*egress.Model // with Sidecars, and by mode
	for i, mode := range []string{"ALLOW_ANY", "REGISTRY_ONLY"} {
		models[0][i] = modelOf(b, mode, many(b, entries))
		models[1][i] = modelOf(b, mode, many(b, entries), func(in *egress.Input) {
			for n := range pushNamespaces {
				in.Sidecars = append(in.Sidecars, egress.Sidecar{Meta: egress.Meta{Namespace: pushNamespace(n), Name: "default"}, Spec: &networkingv1alpha3.Sidecar{
					Egress: []*networkingv1alpha3.IstioEgressListener{{Hosts: hosts(n)}},
				}})
			}
		})
	}
	s.Publish(models[0][0])
	done := s.startClients(b, clients)
	<-done
	mode, took, worked := 0, [2][]time.Duration{}, [2][]time.Duration{}
	push := func(with int) {
		mode = 1 - mode
		start, cpu := time.Now(), processorTime(b)
		s.Publish(models[with][mode])
		<-done
		took[with] = append(took[with], time.Since(start))
		worked[with] = append(worked[with], processorTime(b)-cpu)
	}
	for i := 0; b.Loop(); i++ {
		for k := range 2 {
			push((i + k) % 2)
		}
	}
	b.StopTimer()
	median := func(d []time.Duration) float64 {
		d = slices.Sorted(slices.Values(d))
		return float64(d[len(d)/2].Microseconds()) / 1000
	}
	b.ReportMetric(median(took[0]), "ms-without")
	b.ReportMetric(median(took[1]), "ms-with")
	b.ReportMetric(median(took[1])/median(took[0]), "ratio")
	b.ReportMetric(median(worked[1])/median(worked[0]), "cpu-ratio")
	b.ReportMetric(0, "ns/op")
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	kit.Must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
