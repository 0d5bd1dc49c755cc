package live

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/outrider-mesh/outrider/egress/report"
)

// metrics count what is reported. A namespace is that of a token; of the values that a
// sidecar chooses, only those of the busiest hosts are in labels.
type metrics struct {
	busiest                  *busiest
	reported, writes, events *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer, now func() time.Time, pendingBytes func() float64) (*metrics, error) {
	m := &metrics{
		busiest: newBusiest(now),
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
	for _, c := range []prometheus.Collector{m.reported, m.writes, m.events, m.busiest, pending} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) count(namespace string, all []report.DestinationReport) {
	m.busiest.observe(namespace, all)
	counts := map[report.Verdict]uint64{}
	for _, d := range all {
		counts[d.Verdict] += d.Connections + d.Requests
	}
	for verdict, n := range counts {
		m.reported.WithLabelValues(namespace, string(verdict)).Add(float64(n))
	}
}
