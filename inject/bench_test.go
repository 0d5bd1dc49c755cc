package inject

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"gomodules.xyz/jsonpatch/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/jsontree"
)

// Run with: go test -run xxx -bench . -benchtime 1s ./inject
//
// Every iteration injects another pod. The peer is the way of the libraries:
// the same overlay, rendered already, merged by apimachinery's strategic merge
// patch and compared by gomodules.xyz/jsonpatch. Medians; x-peer is the
// injection, rendering and decisions included, over the peer's two steps.
func BenchmarkInject(b *testing.B) {
	const reads = "templates: {reads: '{metadata: {labels: {c: {{ toJSON (index .Spec.Containers 0).Name }}}}}'}\ndefaultTemplates: [sidecar, reads]"
	for _, c := range []struct {
		name  string
		texts config.Texts
		pod   func(n int) []byte
	}{
		{"default template", config.Texts{}, smallPod},
		{"annotated", config.Texts{}, func(n int) []byte {
			return podWith("traffic.sidecar.istio.io/excludeOutboundIPRanges", "10.0.0.0/8", "n", sprintf("%d", n))
		}},
		{"template reads the pod", config.Texts{Config: reads}, smallPod},
	} {
		b.Run(c.name, func(b *testing.B) {
			i := mustCompile(b, c.texts, Environment{})
			overlay := sampleOverlay(b, i, c.pod(0))
			var ours, peers []time.Duration
			n := 0
			for b.Loop() {
				n++
				pod := c.pod(n)
				start := time.Now()
				result, err := i.Inject(Request{Pod: pod, Namespace: "default"})
				if err != nil {
					b.Fatal(err)
				}
				AppendPatch(nil, result.Patch)
				ours = append(ours, time.Since(start))
				start = time.Now()
				peer(b, pod, overlay)
				peers = append(peers, time.Since(start))
			}
			b.ReportMetric(float64(median(ours).Nanoseconds())/1000, "inject-µs")
			b.ReportMetric(float64(median(peers).Nanoseconds())/1000, "peer-µs")
			b.ReportMetric(float64(median(ours))/float64(median(peers)), "x-peer")
		})
	}
}

func smallPod(n int) []byte {
	return []byte(sprintf(`{"metadata":{"name":"pod-%d","labels":{"app":"web","n":"%d"}},"spec":{"containers":[{"name":"app","image":"i:%d"}]}}`, n, n, n))
}

func sampleOverlay(b *testing.B, i *Injector, pod []byte) []byte {
	b.Helper()
	r, err := i.resolved(podInputs{})
	if err != nil {
		b.Fatal(err)
	}
	return []byte(r.overlays[0].tree.JSON())
}

func peer(b *testing.B, pod, overlay []byte) {
	b.Helper()
	merged, err := strategicpatch.StrategicMergePatch(pod, overlay, &corev1.Pod{})
	if err != nil {
		b.Fatal(err)
	}
	ops, err := jsonpatch.CreatePatch(pod, merged)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := json.Marshal(ops); err != nil {
		b.Fatal(err)
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// TestPatchLikeTheLibrary: the patch results in the same pod as the one that
// gomodules.xyz/jsonpatch computes for the same two texts.
func TestPatchLikeTheLibrary(t *testing.T) {
	i := mustCompile(t, config.Texts{Config: meddling}, Environment{})
	result := mustInject(t, i, Request{Pod: []byte(ownPod)})
	theirs, err := jsonpatch.CreatePatch([]byte(ownPod), result.PodJSON())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(theirs)
	if err != nil {
		t.Fatal(err)
	}
	ours := applied(t, []byte(ownPod), result.Patch)
	if !jsontree.Equal(jsontree.Parse(string(applyJSON(t, []byte(ownPod), string(text)))), jsontree.Parse(string(ours))) {
		t.Error("the two patches lead to different pods")
	}
}
