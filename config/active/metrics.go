package active

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	info       *prometheus.GaugeVec
	rejections prometheus.Counter
	loaded     prometheus.Gauge
	waiting    prometheus.Gauge
	store      *prometheus.CounterVec
	records    *prometheus.GaugeVec
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		info: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sidecar_injection_config_info",
			Help: "1 for the hash of the active configuration, as recorded in the status annotation of pods, and its source (configmap; last-good: what the ConfigMaps have is rejected, or one of them does not exist; defaults: there are no ConfigMaps and never were).",
		}, []string{"hash", "source"}),
		rejections: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sidecar_injection_config_rejections_total",
			Help: "Rejected configurations.",
		}),
		loaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sidecar_injection_config_last_load_timestamp_seconds",
			Help: "Unix time the active configuration was loaded.",
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sidecar_injection_config_rejected",
			Help: "1 while the configuration in the ConfigMaps is rejected.",
		}),
		store: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sidecar_injection_config_store_requests_total",
			Help: "Reads at startup and writes of the stored last good configurations, by operation (read, write) and result (done, failed).",
		}, []string{"operation", "result"}),
		records: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sidecar_injection_config_stored",
			Help: "Last good configurations that were stored when the replica started, by state (intact; changed: does not have its checksum; rejected: needed, and not accepted by this version).",
		}, []string{"state"}),
	}
	for _, c := range []prometheus.Collector{m.info, m.rejections, m.loaded, m.waiting, m.store, m.records} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) applied(at time.Time) { m.loaded.Set(float64(at.UnixMilli()) / 1000) }

func (m *metrics) rejected() { m.rejections.Inc() }

// status replaces what is reported of the active configuration.
func (m *metrics) status(s Status) {
	m.info.Reset()
	if s.Hash != "" {
		m.info.WithLabelValues(s.Hash, s.Source).Set(1)
	}
	m.waiting.Set(0)
	if s.Rejected {
		m.waiting.Set(1)
	}
}

func (m *metrics) stored(operation string, err error) {
	result := "done"
	if err != nil {
		result = "failed"
	}
	m.store.WithLabelValues(operation, result).Inc()
}

func (m *metrics) found(state string, n int) { m.records.WithLabelValues(state).Set(float64(n)) }
