package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/outrider-mesh/outrider/webhook/registration"
)

// The results of an admission: values of the label "result".
const (
	resultInjected  = "injected"  // the answer carries a patch
	resultUnchanged = "unchanged" // to be injected, and already is
	resultSkipped   = "skipped"   // not to be injected
	resultIgnored   = "ignored"   // not a request for this handler: the webhook configuration's rules are too wide
	resultDenied    = "denied"    // the object, its annotations or a template are invalid
	resultError     = "error"     // the request failed

	// The results of a workload review and of a validation.
	resultWarned = "warned"
	resultClean  = "clean"
)

// Metrics counts admissions and configurations. Label values are codes of this
// package and of inject, a finite set; no user input becomes one.
type Metrics struct {
	requests  *prometheus.CounterVec
	success   prometheus.Counter
	failure   prometheus.Counter
	skip      prometheus.Counter
	seconds   prometheus.Histogram
	workloads *prometheus.CounterVec
	panics    prometheus.Counter
	held      prometheus.Counter

	validations       *prometheus.CounterVec
	validationSeconds prometheus.Histogram

	connections       prometheus.Gauge
	connectionsClosed *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sidecar_injection_requests_total",
			Help: "Admission requests for pods, by result (injected, unchanged, skipped, ignored, denied, error) and reason.",
		}, []string{"result", "reason"}),
		success: counter("sidecar_injection_success_total", "Pods that were injected or already were."),
		failure: counter("sidecar_injection_failure_total", "Admission requests for pods that were denied or failed."),
		skip:    counter("sidecar_injection_skip_total", "Pods that were admitted without a sidecar."),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sidecar_injection_time_seconds",
			Help: "Time from the first byte of an admission request for a pod to its response.",
			// A small pod takes a fraction of a millisecond; the API server
			// gives up after timeoutSeconds.
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		workloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sidecar_injection_workload_reviews_total",
			Help: "Workload reviews (warnings only), by result (warned, clean, ignored, error).",
		}, []string{"result"}),
		panics: counter("sidecar_injection_panics_total", "Recovered panics of the admission handlers (please report)."),
		validations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "outrider_validation_requests_total",
			Help: "Admission requests for ServiceEntries, VirtualServices, the ConfigMaps, and ephemeral containers and images of pods, by resource, result (clean, warned, denied, ignored, error) and reason.",
		}, []string{"resource", "result", "reason"}),
		validationSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "outrider_validation_time_seconds",
			Help:    "Time from the first byte of a validation request to its response.",
			Buckets: []float64{.00025, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
	}
	m.held = counter("outrider_webhook_reviews_held_total", "Admission requests that waited for the configuration while the replica started.")
	m.connections = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "outrider_webhook_connections", Help: "Open connections of the webhook's port.",
	})
	m.connectionsClosed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "outrider_webhook_connections_closed_total",
		Help: "Connections of the webhook's port that were closed, by limit (total, per_source, rate_per_source).",
	}, []string{"limit"})
	for _, c := range []prometheus.Collector{
		m.requests, m.success, m.failure, m.skip, m.seconds, m.workloads, m.panics, m.held,
		m.validations, m.validationSeconds, m.connections, m.connectionsClosed,
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// pod counts one request to the pod handler.
func (m *Metrics) pod(a *answer, took time.Duration) {
	m.requests.WithLabelValues(a.result, a.reason).Inc()
	m.seconds.Observe(took.Seconds())
	switch a.result {
	case resultInjected, resultUnchanged:
		m.success.Inc()
	case resultSkipped:
		m.skip.Inc()
	case resultDenied, resultError:
		m.failure.Inc()
	}
}

// workload counts one request to the workload handler.
func (m *Metrics) workload(a *answer, _ time.Duration) {
	m.workloads.WithLabelValues(a.result).Inc()
}

// validation counts one request to the object and ConfigMap handlers.
func (m *Metrics) validation(a *answer, took time.Duration) {
	resource := "other"
	switch a.resource {
	case registration.ServiceEntries, registration.VirtualServices, registration.Sidecars, "configmaps", "pods":
		resource = a.resource
	}
	m.validations.WithLabelValues(resource, a.result, a.reason).Inc()
	m.validationSeconds.Observe(took.Seconds())
}
