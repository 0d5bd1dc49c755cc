package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/status"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/workloads/count"
)

// TestPodCountOfManyPods: what a count as a metric finds is what status finds. With
// OUTRIDER_STATUS_PODS=5000 it prints what a count of a large cluster takes; see
// "make bench-status".
func TestPodCountOfManyPods(t *testing.T) {
	server := kube.Require(t)
	installation := server.Namespace(t, nil)
	n, perWorkload := manyPods(t, 250)
	createPods(t, server, installation, server.Namespace(t, nil), n, perWorkload)
	cfg, problems := config.Parse(config.Texts{Values: "global: {proxy: {excludeIPRanges: 10.1.0.0/16}}\n"}, config.Labels{})
	kit.Must(t, problems.Err())
	injector, problems := inject.Compile(cfg, inject.Environment{Namespace: installation})
	kit.Must(t, problems.Err())
	registry := prometheus.NewRegistry()
	_, election, err := count.New(count.Options{
		Cluster: server.Config, Namespace: installation, Service: installation + "/outrider", Interval: time.Hour,
		Settings: func() *status.Settings { return &status.Settings{Injector: injector} }, Log: logr.Discard(), Registry: registry,
	})
	kit.Must(t, err)

	runtime.GC()
	before, cpu, start := heap(), processorTime(t), time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- election.Start(ctx) }()
	var peak uint64
	var found map[string]float64
	for found["sidecar_injection_pods_counted_timestamp_seconds "] == 0 {
		time.Sleep(5 * time.Millisecond)
		peak = max(peak, heap())
		if found = gauges(t, registry); time.Since(start) > time.Minute {
			t.Fatalf("no count: %v", found)
		}
	}
	if os.Getenv("OUTRIDER_STATUS_PODS") != "" {
		t.Logf("count of %d pods of %d workloads: %.1f s, %.2f s of processor time, %.1f MiB more heap at most",
			n, n/perWorkload, time.Since(start).Seconds(), (processorTime(t) - cpu).Seconds(), float64(peak-min(before, peak))/(1<<20))
	}
	if found["sidecar_injection_pods stale"] != float64(n) || found["sidecar_injection_pods active"] != 0 {
		t.Errorf("%v", found)
	}
	cancel()
	kit.Must(t, <-ended)
	if left := gauges(t, registry); len(left) > 1 {
		t.Errorf("a replica that does not count any more has %v", left)
	}
}

// manyPods are the numbers of pods and of pods of a workload: of the variable, or few.
func manyPods(t *testing.T, few int) (n, perWorkload int) {
	t.Helper()
	n, perWorkload = few, 20
	if text := os.Getenv("OUTRIDER_STATUS_PODS"); text != "" { // "5000" or "5000/1"
		text, each, _ := strings.Cut(text, "/")
		_, err := fmt.Sscan(text, &n)
		kit.Must(t, err)
		if each != "" {
			_, err = fmt.Sscan(each, &perWorkload)
			kit.Must(t, err)
		}
	}
	return n, perWorkload
}

// gauges are the samples of a registry, by name and label.
func gauges(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	kit.Must(t, err)
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			label := ""
			for _, l := range m.GetLabel() {
				label += l.GetValue()
			}
			out[f.GetName()+" "+label] = m.GetGauge().GetValue()
		}
	}
	return out
}

// heap is the memory of objects, live or not collected yet.
func heap() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	kit.Must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
