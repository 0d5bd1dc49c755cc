package count

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/outrider-mesh/outrider/status"
)

// The states of a pod. Each pod is counted in one.
const (
	stateActive   = "active"  // with a sidecar, as the active settings inject it
	stateStale    = "stale"   // with a sidecar, injected under other settings
	stateMissing  = "missing" // should have a sidecar and has none
	stateNone     = "none"    // has no sidecar, and should have none
	stateFailed   = "failed"  // could not be compared
	subsystem     = "sidecar_injection"
	resultCounted = "counted"
	resultFailed  = "failed"
)

// metrics are set by the replica that counts, and absent from the others.
type metrics struct {
	pods   *prometheus.GaugeVec
	at     *prometheus.GaugeVec // without labels, so that it can be removed
	counts *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		pods: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Subsystem: subsystem, Name: "pods",
			Help: "Running pods of the cluster, by state (active: injected as the active settings do; stale: injected under other settings; missing: should have a sidecar and have none; none: have none, as decided; failed: could not be compared). Of the replica that counts.",
		}, []string{"state"}),
		at: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Subsystem: subsystem, Name: "pods_counted_timestamp_seconds", Help: "Unix time of the last count of pods. Of the replica that counts.",
		}, nil),
		counts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Subsystem: subsystem, Name: "pod_counts_total", Help: "Counts of pods, by result (counted, failed).",
		}, []string{"result"}),
	}
	if registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.pods, m.at, m.counts} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// set publishes a count.
func (m *metrics) set(s status.Summary, failed int, now time.Time) {
	for state, n := range map[string]int{
		stateActive: s.Injected - s.Stale, stateStale: s.Stale, stateMissing: s.Missing,
		stateNone: s.Pods - s.Injected - s.Missing - failed, stateFailed: failed,
	} {
		m.pods.WithLabelValues(state).Set(float64(n))
	}
	m.at.WithLabelValues().Set(float64(now.Unix()))
	m.counts.WithLabelValues(resultCounted).Inc()
}

// reset removes the numbers: another replica counts.
func (m *metrics) reset() {
	m.pods.Reset()
	m.at.Reset()
}
