package xds

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what an Observer is told. No label has a value that a sidecar
// chooses.
type metrics struct {
	connections, refusals, failures   prometheus.Counter
	responses, resources, bytes, nack *prometheus.CounterVec
	connected                         prometheus.Gauge
}

// Metrics registers the server's metrics and gives the Observer that fills them
// and then calls next.
func Metrics(registry prometheus.Registerer, next Observer) Observer {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "outrider", Subsystem: "xds", Name: name, Help: help})
	}
	byType := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "outrider", Subsystem: "xds", Name: name, Help: help}, []string{"type"})
	}
	m := metrics{
		connections: counter("connections_total", "Streams that were let in."),
		refusals:    counter("refusals_total", "Streams that were not let in: no valid token, or nothing published yet."),
		failures:    counter("view_failures_total", "Views that could not be made; their sidecars stay with what they have."),
		responses:   byType("responses_total", "Responses sent, by type of resource."),
		resources:   byType("resources_total", "Resources sent, by type."),
		bytes:       byType("resource_bytes_total", "Bytes of resources sent, by type."),
		nack:        byType("rejections_total", "Responses that a sidecar did not take, by type of resource."),
		connected: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "outrider", Subsystem: "xds", Name: "connected", Help: "Sidecars that are connected.",
		}),
	}
	registry.MustRegister(m.connections, m.refusals, m.failures, m.responses, m.resources, m.bytes, m.nack, m.connected)
	return m.observer(next)
}

func (m metrics) observer(next Observer) Observer {
	return Observer{
		Connected:    func(i Identity) { m.connections.Inc(); m.connected.Inc(); next.connected(i) },
		Disconnected: func(i Identity) { m.connected.Dec(); next.disconnected(i) },
		Refused:      func(err error) { m.refusals.Inc(); _ = next.refused(err) },
		Sent: func(typeURL string, resources, bytes int) {
			kind := ShortType(typeURL)
			m.responses.WithLabelValues(kind).Inc()
			m.resources.WithLabelValues(kind).Add(float64(resources))
			m.bytes.WithLabelValues(kind).Add(float64(bytes))
			next.sent(typeURL, resources, bytes)
		},
		Rejected: func(r Rejection) { m.nack.WithLabelValues(ShortType(r.TypeURL)).Inc(); next.rejected(r) },
		Failed:   func(namespace string, err error) { m.failures.Inc(); next.failed(namespace, err) },
	}
}

// ShortType is Cluster, Listener or RouteConfiguration.
func ShortType(typeURL string) string { return typeURL[strings.LastIndexByte(typeURL, '.')+1:] }
