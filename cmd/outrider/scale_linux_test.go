package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

// scale is the size of a simulation.
type scale struct{ sidecars, namespaces, entries int }

// scaled is what is measured of it: medians.
type scaled struct {
	scale
	connect           float64 // seconds until all are connected
	idle, most        float64 // MiB
	namespace, mesh   float64 // seconds until a change has reached all that it is for
	cpuSpace, cpuMesh float64 // of the control plane for it, seconds
}

// BenchmarkScale has up to 10,000 sidecars, 1,000 namespaces and 10,000 ServiceEntries, of
// which a namespace sees 200, with 300 Sidecars, on a real API server. It prints for three
// sizes of each what the control plane takes, and how long a change takes until all
// sidecars have it that it is for, and fits lines. The sidecars share the machine's
// processors with the control plane, and are slower than it.
//
//	go test ./cmd/outrider -run ^$ -bench Scale -benchtime 3x -timeout 60m
func BenchmarkScale(b *testing.B) {
	const sidecars, namespaces, entries, objects = 10_000, 1000, 10_000, 300
	w := newLoadWorld(b, kube.Require(b))
	pods, program := w.addPods(namespaces, sidecars/namespaces), loadProgram(b)
	w.addSidecars(objects)
	kit.Must(b, w.setMesh("load"))
	for b.Loop() { // what is measured is below
	}
	measure := func(s scale) scaled {
		w.addEntries(s.entries, namespaces)
		r := w.measureScale(b, program, podsOf(pods, s), s, max(3, b.N))
		b.Log(r)
		return r
	}
	quarter, half := measure(scale{sidecars, namespaces, entries / 4}), measure(scale{sidecars, namespaces, entries / 2})
	all := measure(scale{sidecars, namespaces, entries})
	least, middle := measure(scale{sidecars / 4, namespaces, entries}), measure(scale{sidecars / 2, namespaces, entries})
	few, some := measure(scale{sidecars / 4, namespaces / 4, entries}), measure(scale{sidecars / 4, namespaces / 2, entries})
	b.Log(fitScale("entries", func(s scaled) float64 { return float64(s.entries) }, quarter, half, all))
	b.Log(fitScale("sidecars", func(s scaled) float64 { return float64(s.sidecars) }, least, middle, all))
	b.Log(fitScale("namespaces with 2,500 sidecars", func(s scaled) float64 { return float64(s.namespaces) }, few, some, least))
	b.ReportMetric(0, "ns/op")
}

// podsOf are pods of so many namespaces. Those of all namespaces alternate in the list.
func podsOf(pods []loadPod, s scale) (out []loadPod) {
	for _, p := range pods {
		if p.namespace < loadNamespace(s.namespaces) && len(out) < s.sidecars {
			out = append(out, p)
		}
	}
	return out
}

func (w *loadWorld) measureScale(b testing.TB, program loadBinary, pods []loadPod, s scale, times int) scaled {
	b.Helper()
	plane := startLoad(b, w, program)
	defer plane.stop()
	f := newLoadFleet(w, plane.xds)
	defer f.stop()
	r := scaled{scale: s, connect: f.connect(pods).Seconds()}
	const settle = 10 * time.Second
	time.Sleep(settle)
	r.idle = float64(plane.anonymous(b))
	r.most = r.idle
	r.namespace, r.cpuSpace = f.changes(plane, &r.most, times, func(i int) (string, int, func() error) {
		text, in := fmt.Sprintf("change-%d-%d", plane.pid, i), pods[i*7%len(pods)].namespace
		inNamespace := 0
		for _, p := range pods {
			if p.namespace == in {
				inNamespace++
			}
		}
		return text + ".example.com", inNamespace, func() error { return w.entry(b.Context(), in, text, ".") }
	})
	r.mesh, r.cpuMesh = f.changes(plane, &r.most, times, func(i int) (string, int, func() error) {
		text := fmt.Sprintf("mesh-%d-%d", plane.pid, i)
		return text, len(pods), func() error { return w.setMesh(text) }
	})
	return r
}

// changes are the medians of the seconds until a change has reached its sidecars, and of
// the processor time of the control plane for it.
func (f *loadFleet) changes(plane *loadServer, most *float64, times int, change func(i int) (text string, want int, f func() error)) (took, cpu float64) {
	var all, used []float64
	for i := range times {
		before := plane.cpu(f.t)
		text, want, do := change(i)
		all = append(all, f.reach(text, want, do).Seconds())
		*most = max(*most, float64(plane.anonymous(f.t)))
		time.Sleep(2 * time.Second) // what is done afterwards is counted, too
		used = append(used, plane.cpu(f.t)-before)
	}
	return median(all), median(used)
}

func (s scaled) String() string {
	return fmt.Sprintf("%d sidecars, %d namespaces, %d entries: connected after %.1f s; %.0f MiB idle, %.0f at most; a change of a namespace %.2f s (%.2f s CPU), of the mesh %.2f s (%.2f s CPU)",
		s.sidecars, s.namespaces, s.entries, s.connect, s.idle, s.most, s.namespace, s.cpuSpace, s.mesh, s.cpuMesh)
}

// fitScale fits lines by least squares.
func fitScale(of string, x func(scaled) float64, all ...scaled) string {
	out := "per 1,000 " + of + ", and at 0; the largest deviation of a size from the line:"
	for _, m := range []struct {
		name string
		y    func(scaled) float64
	}{
		{"MiB idle", func(s scaled) float64 { return s.idle }}, {"MiB at most", func(s scaled) float64 { return s.most }},
		{"s of a change of a namespace", func(s scaled) float64 { return s.namespace }}, {"its CPU s", func(s scaled) float64 { return s.cpuSpace }},
		{"s of a change of the mesh", func(s scaled) float64 { return s.mesh }}, {"its CPU s", func(s scaled) float64 { return s.cpuMesh }},
	} {
		slope, at0, off := fitLine(all, x, m.y)
		out += fmt.Sprintf("\n%s: %+.3f, %.2f; %.0f %%", m.name, slope*1000, at0, off*100)
	}
	return out
}

func fitLine(all []scaled, x, y func(scaled) float64) (slope, at0, off float64) {
	var n, sx, sy, sxx, sxy float64
	for _, s := range all {
		n, sx, sy, sxx, sxy = n+1, sx+x(s), sy+y(s), sxx+x(s)*x(s), sxy+x(s)*y(s)
	}
	slope = (n*sxy - sx*sy) / (n*sxx - sx*sx)
	at0 = (sy - slope*sx) / n
	for _, s := range all {
		off = max(off, math.Abs(at0+slope*x(s)-y(s))/y(s))
	}
	return slope, at0, off
}

// TestScale is a small form of the simulations, so that they do not rot: a change reaches
// the sidecars that it is for and no others, and reports are counted where they belong.
func TestScale(t *testing.T) {
	w := newLoadWorld(t, ownServer(t))
	const namespaces, each = 4, 5
	pods := w.addPods(namespaces, each)
	w.addEntries(40, namespaces)
	w.addSidecars(3)
	kit.Must(t, w.setMesh("load"))
	plane := startLoad(t, w, loadBinary{os.Args[0], []string{programEnv + "=1"}})
	f := newLoadFleet(w, plane.xds)
	f.connect(pods)
	for i := range namespaces {
		name := fmt.Sprint("small-", i)
		s := f.look(name+".example.com", each)
		kit.Must(t, w.entry(t.Context(), loadNamespace(i), name, "."))
		<-s.done
		const more = 200 * time.Millisecond
		time.Sleep(more)
		if n := s.seen.Load(); n != each {
			t.Errorf("%d sidecars have a change of namespace %d, which has %d", n, i, each)
		}
	}
	f.reach("small-mesh", len(pods), func() error { return w.setMesh("small-mesh") })
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	f.report(ctx, loadReport{connections: 20, names: 5, forwarded: true, start: time.Second})
	kit.EventuallyTrue(t, "the reports are written", func() bool {
		for i := range namespaces {
			out, err := w.server.Kubectl(t.Context(), "get", "-n", loadNamespace(i), "egressreports", "egress", "--ignore-not-found", "-o", "jsonpath={.workloads[*].name}").Output()
			if err != nil || !slices.Equal(strings.Fields(string(out)), []string{"batch", "web"}) {
				return false
			}
		}
		return true
	})
	stop()
}
