package kube

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// metrics are about the built models. Labels are kinds and severities, a finite
// set.
type metrics struct {
	builds   prometheus.Counter
	seconds  prometheus.Histogram
	objects  *prometheus.GaugeVec
	problems *prometheus.GaugeVec
	over     *prometheus.GaugeVec
	// addresses of the cluster, by who reaches them.
	addresses *prometheus.GaugeVec
	nodes     prometheus.Gauge
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	options := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "outrider", Subsystem: "egress", Name: name, Help: help}
	}
	m := &metrics{
		builds: prometheus.NewCounter(prometheus.CounterOpts(options("builds_total", "Configuration builds."))),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "outrider", Subsystem: "egress", Name: "build_seconds", Help: "Time to build and publish the configuration.",
			// 1,000 entries take some 10 ms.
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}),
		objects: prometheus.NewGaugeVec(prometheus.GaugeOpts(options("objects", "ServiceEntries, VirtualServices and Sidecars in the cluster, by kind.")), []string{"kind"}),
		problems: prometheus.NewGaugeVec(prometheus.GaugeOpts(options("problems",
			"Object problems, by kind and severity (error: a part of the object is ignored; warning).")), []string{"kind", "severity"}),
		over: prometheus.NewGaugeVec(prometheus.GaugeOpts(options("objects_over_budget",
			"ServiceEntries, VirtualServices and Sidecars that are ignored because they, or their namespaces with them, exceed a limit, by kind.")), []string{"kind"}),
		addresses: prometheus.NewGaugeVec(prometheus.GaugeOpts(options("addresses",
			"ClusterIPs and endpoints of headless Services that sidecars always reach, by scope (cluster; namespace: reached from their own namespace only, because an endpoint is outside the cluster; none: over --egress-max-namespace-addresses).")), []string{"scope"}),
		nodes: prometheus.NewGauge(prometheus.GaugeOpts(options("node_addresses",
			"Addresses of nodes, which endpoints of pods with hostNetwork have; 0 if nodes cannot be read: such endpoints are reached from their own namespace only."))),
	}
	if registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.builds, m.seconds, m.objects, m.problems, m.over, m.addresses, m.nodes} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) built(r Result, took time.Duration) {
	m.builds.Inc()
	m.seconds.Observe(took.Seconds())
	own := 0
	for _, d := range r.Input.InCluster {
		if d.Namespace != "" {
			own++
		}
	}
	m.addresses.WithLabelValues("cluster").Set(float64(len(r.Input.InCluster) - own))
	m.addresses.WithLabelValues("namespace").Set(float64(own))
	m.addresses.WithLabelValues("none").Set(float64(r.reachable.omitted))
	m.nodes.Set(float64(r.nodes))
	objects, kindOf := map[string]int{}, map[string]string{egress.Source(egress.KindMesh, egress.Meta{}): egress.KindMesh}
	for _, o := range r.Objects {
		objects[o.Kind]++
		kindOf[egress.Source(o.Kind, o.Meta)] = o.Kind
	}
	type label struct {
		kind     string
		severity problem.Severity
	}
	problems := map[label]int{}
	over := map[string]map[string]bool{egress.KindServiceEntry: {}, egress.KindVirtualService: {}, egress.KindSidecar: {}}
	for _, p := range r.Problems {
		problems[label{kindOf[p.Source], p.Severity}]++
		if sources := over[kindOf[p.Source]]; p.Type == problem.TypeOverBudget && sources != nil {
			sources[p.Source] = true
		}
	}
	for _, kind := range []string{egress.KindMesh, egress.KindServiceEntry, egress.KindVirtualService, egress.KindSidecar} {
		if kind != egress.KindMesh {
			m.objects.WithLabelValues(kind).Set(float64(objects[kind]))
			m.over.WithLabelValues(kind).Set(float64(len(over[kind])))
		}
		for _, severity := range []problem.Severity{problem.Error, problem.Warning} {
			m.problems.WithLabelValues(kind, severity.String()).Set(float64(problems[label{kind, severity}]))
		}
	}
}
