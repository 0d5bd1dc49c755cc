package live

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/outrider-mesh/outrider/egress/report"
)

// metrics count what is reported. A namespace is that of a token; no label has a value
// that a sidecar chooses.
type metrics struct {
	reported, writes, events *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer, pendingBytes func() float64) (*metrics, error) {
	m := &metrics{
		reported: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "outrider", Subsystem: "egress", Name: "reported_total",
			Help: "Connections and requests that sidecars reported to this replica, by namespace and verdict (passthrough, blocked; allowed: to declared destinations).",
		}, []string{"namespace", "verdict"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "outrider", Subsystem: "egress", Name: "report_writes_total",
			Help: "Writes of EgressReports, by result (written, expired, failed).",
		}, []string{"result"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "outrider", Subsystem: "egress", Name: "blocked_events_total",
			Help: "Events on workloads with blocked hosts that are new (sent), and such hosts without one because of the limits (omitted).",
		}, []string{"result"}),
	}
	if registry == nil {
		return m, nil
	}
	pending := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "outrider", Subsystem: "egress", Name: "report_pending_bytes", Help: "Memory for reports that are not written yet.",
	}, pendingBytes)
	for _, c := range []prometheus.Collector{m.reported, m.writes, m.events, pending} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) count(namespace string, all []report.DestinationReport) {
	counts := map[report.Verdict]uint64{}
	for _, d := range all {
		counts[d.Verdict] += d.Connections + d.Requests
	}
	for verdict, n := range counts {
		m.reported.WithLabelValues(namespace, string(verdict)).Add(float64(n))
	}
}
