package active

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	info       *prometheus.GaugeVec
	rejections prometheus.Counter
	loaded     prometheus.Gauge
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		info: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sidecar_injection_config_info",
			Help: "1 for the hash of the active configuration, as recorded in the status annotation of pods.",
		}, []string{"hash"}),
		rejections: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sidecar_injection_config_rejections_total",
			Help: "Rejected configurations.",
		}),
		loaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sidecar_injection_config_last_load_timestamp_seconds",
			Help: "Unix time the active configuration was loaded.",
		}),
	}
	for _, c := range []prometheus.Collector{m.info, m.rejections, m.loaded} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) applied(hash string, at time.Time) {
	m.info.Reset()
	m.info.WithLabelValues(hash).Set(1)
	m.loaded.Set(float64(at.UnixMilli()) / 1000)
}

func (m *metrics) rejected() { m.rejections.Inc() }
