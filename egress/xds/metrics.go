package xds

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
)

// metrics count the events of an Observer. No label has a value chosen by a
// sidecar.
type metrics struct {
	connections, rejected, failures   prometheus.Counter
	responses, resources, bytes, nack *prometheus.CounterVec
	limited                           *prometheus.CounterVec
	connected                         prometheus.Gauge
	objects, modes                    *prometheus.GaugeVec
}

// Metrics registers the server's metrics and returns an Observer that updates
// them and then calls next.
func Metrics(registry prometheus.Registerer, next Observer) Observer {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "outrider", Subsystem: "xds", Name: name, Help: help})
	}
	byType := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "outrider", Subsystem: "xds", Name: name, Help: help}, []string{"type"})
	}
	m := metrics{
		connections: counter("connections_total", "Streams accepted."),
		rejected:    counter("refusals_total", "Streams rejected: invalid token, or configuration not ready."),
		failures:    counter("view_failures_total", "Failed builds of a namespace's configuration; its sidecars keep the previous one."),
		responses:   byType("responses_total", "Responses sent, by resource type."),
		resources:   byType("resources_total", "Resources sent, by resource type."),
		bytes:       byType("resource_bytes_total", "Bytes of resources sent, by resource type."),
		nack:        byType("rejections_total", "Responses rejected by a sidecar (NACK), by resource type."),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "outrider", Subsystem: "xds", Name: "limit_exceeded_total",
			Help: "Streams and connections rejected or closed because they exceeded a limit, by limit.",
		}, []string{"limit"}),
		connected: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "outrider", Subsystem: "xds", Name: "connected", Help: "Connected sidecars.",
		}),
		objects: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "outrider", Subsystem: "xds", Name: "rejected_objects",
			Help: "ServiceEntries, VirtualServices and MeshConfigs that sidecars reject although they are valid, by kind and state " +
				"(rejected; disputed: the sidecars of one other namespace reject it).",
		}, []string{"kind", "state"}),
		modes: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "outrider", Subsystem: "xds", Name: "reporting",
			Help: "Connected sidecars by how they report undeclared destinations (entries: each connection and request; counters: counts every 15 s; off).",
		}, []string{"mode"}),
	}
	registry.MustRegister(m.objects, m.modes, m.connections, m.rejected, m.failures, m.responses, m.resources, m.bytes, m.nack, m.limited, m.connected)
	return m.observer(next)
}

func (m metrics) observer(next Observer) Observer {
	return Observer{
		Connected:      func(i Identity) { m.connections.Inc(); m.connected.Inc(); next.connected(i) },
		Disconnected:   func(i Identity) { m.connected.Dec(); next.disconnected(i) },
		StreamRejected: func(err error) { m.rejected.Inc(); _ = next.streamRejected(err) },
		Limited: func(i Identity, limit, message string) {
			m.limited.WithLabelValues(limit).Inc()
			if next.Limited != nil {
				next.Limited(i, limit, message)
			}
		},
		ConnectionLimited: func(source, limit, message string) {
			m.limited.WithLabelValues(limit).Inc()
			next.connectionLimited(source, limit, message)
		},
		Sent: func(typeURL string, resources, bytes int) {
			label := ShortType(typeURL)
			m.responses.WithLabelValues(label).Inc()
			m.resources.WithLabelValues(label).Add(float64(resources))
			m.bytes.WithLabelValues(label).Add(float64(bytes))
			next.sent(typeURL, resources, bytes)
		},
		Rejected: func(r Rejection) { m.nack.WithLabelValues(ShortType(r.TypeURL)).Inc(); next.rejected(r) },
		Reporting: func(from, to envoy.ReportMode) {
			for mode, change := range map[envoy.ReportMode]float64{from: -1, to: 1} {
				if mode != "" {
					m.modes.WithLabelValues(string(mode)).Add(change)
				}
			}
			next.reporting(from, to)
		},
		Judged: func(all []egress.Rejection) {
			m.objects.Reset()
			for _, r := range all {
				state := "rejected"
				if r.Disputed {
					state = "disputed"
				}
				m.objects.WithLabelValues(r.Object.Kind, state).Inc()
			}
			next.judged(all)
		},
		Failed: func(namespace string, err error) { m.failures.Inc(); next.failed(namespace, err) },
	}
}

// ConnectionsMetric is the number of connections without an accepted stream.
func ConnectionsMetric(s *Server) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "outrider", Subsystem: "xds", Name: "pending_connections", Help: "Connections without an accepted stream.",
	}, func() float64 { return float64(s.PendingConnections()) })
}

// TokenMetrics registers the counter of token checks, and returns what counts.
func TokenMetrics(registry prometheus.Registerer) func(method, result string) {
	checks := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "outrider", Subsystem: "xds", Name: "token_checks_total",
		Help: "Sidecars' tokens checked, by method (signature, review) and result.",
	}, []string{"method", "result"})
	registry.MustRegister(checks)
	return func(method, result string) { checks.WithLabelValues(method, result).Inc() }
}

// ShortType is Cluster, Listener, RouteConfiguration or Runtime.
func ShortType(typeURL string) string { return typeURL[strings.LastIndexByte(typeURL, '.')+1:] }
