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
	conflicts  prometheus.Gauge
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
	leader := gauge("outrider_leader", "1 on the replica that issues certificates and publishes the CA bundle.")
	conflicts := gauge("outrider_ca_configmap_conflicts", "Namespaces with an unmanaged outrider-ca ConfigMap (leader only).")
	m := &metrics{
		expiry: gauge("outrider_cert_expiry_timestamp_seconds",
			"Unix time the serving certificate (serving) and the newest CA certificate (ca, leader only) expire.", "certificate"),
		issued: counter("outrider_cert_decisions_total",
			"Certificate changes by the leader, by action and reason.", "action", "reason"),
		patches: counter("outrider_ca_bundle_patches_total",
			"Patches of caBundle in the webhook configurations, by kind and result (patched, failed).", "kind", "result"),
		configMaps: counter("outrider_ca_configmap_writes_total",
			"Writes of ConfigMaps outrider-ca, by operation (create, update, delete) and result (done, failed).", "operation", "result"),
		conflicts: conflicts.WithLabelValues(),
		leader:    leader.WithLabelValues(),
		chained: gauge("outrider_ca_bundle_trusted",
			"1 if the serving certificate chains to the caBundle of every webhook, by kind of webhook configuration.", "kind"),
	}
	for _, c := range []prometheus.Collector{m.expiry, m.issued, m.patches, m.configMaps, conflicts, leader, m.chained} {
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

func (m *metrics) ca(c *x509.Certificate) {
	m.expiry.WithLabelValues("ca").Set(float64(c.NotAfter.Unix()))
}

// result is "failed" with an error.
func result(err error, good string) string {
	if err != nil {
		return "failed"
	}
	return good
}
