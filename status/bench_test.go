package status_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/status"
	"github.com/outrider-mesh/outrider/test/kit"
)

// BenchmarkCollector compares 5,000 pods that are stale, of few workloads and of as many as
// there are pods.
func BenchmarkCollector(b *testing.B) {
	for _, perWorkload := range []int{20, 1} {
		b.Run(fmt.Sprintf("pods=5000/workload=%d", perWorkload), func(b *testing.B) {
			base, active := settings(b, config.Texts{}), settings(b, values("includeIPRanges: 10.0.0.0/8"))
			var pods []*corev1.Pod
			for i := range 5000 {
				pods = append(pods, started(b, base, pod(fmt.Sprintf("web-%d", i/perWorkload), fmt.Sprint(i), nil)))
			}
			b.ReportAllocs()
			for b.Loop() {
				c := status.NewCollector(input(active), at)
				for _, p := range pods {
					kit.Must(b, c.Add(p))
				}
				if r := c.Report(); len(r.Workloads) != 5000/perWorkload {
					b.Fatal(r.Summary)
				}
				b.ReportMetric(float64(c.Injections), "injections")
			}
		})
	}
}
