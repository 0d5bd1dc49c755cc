package certs

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the certificates. Label values are codes of this package.
type metrics struct {
	expiry     *prometheus.GaugeVec
	issued     *prometheus.CounterVec
	patches    *prometheus.CounterVec
	configMaps *prometheus.CounterVec
	refused    prometheus.Gauge
	leader     prometheus.Gauge
	chained    *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	leader := gauge("outrider_leader", "1 on the replica that issues certificates and publishes authorities.")
	refused := gauge("outrider_ca_configmap_conflicts", "Namespaces whose ConfigMap outrider-ca somebody else keeps; seen by the leader.")
	m := &metrics{
		expiry: gauge("outrider_cert_expiry_timestamp_seconds",
			"When the certificate (serving) and the newest authority (authority, seen by the leader) expire, in seconds since the epoch.", "certificate"),
		issued: counter("outrider_cert_decisions_total",
			"What the leader did with the certificates, by action and reason.", "action", "reason"),
		patches: counter("outrider_ca_bundle_patches_total",
			"Patches of caBundle in the webhook configurations, by kind and result (patched, failed).", "kind", "result"),
		configMaps: counter("outrider_ca_configmap_writes_total",
			"Writes of ConfigMaps outrider-ca, by operation (create, update, delete) and result (done, failed).", "operation", "result"),
		refused: refused.WithLabelValues(),
		leader:  leader.WithLabelValues(),
		chained: gauge("outrider_ca_bundle_trusted",
			"1 if the certificate served chains to every caBundle registered, by kind of webhook configuration.", "kind"),
	}
	for _, c := range []prometheus.Collector{m.expiry, m.issued, m.patches, m.configMaps, refused, leader, m.chained} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) serving(c *tls.Certificate) {
	if c != nil && c.Leaf != nil {
		m.expiry.WithLabelValues("serving").Set(float64(c.Leaf.NotAfter.Unix()))
	}
}

func (m *metrics) authority(c *x509.Certificate) {
	m.expiry.WithLabelValues("authority").Set(float64(c.NotAfter.Unix()))
}

// result is "failed" with an error.
func result(err error, good string) string {
	if err != nil {
		return "failed"
	}
	return good
}
