// Modules that have published CustomResourceDefinitions: PodMonitor and PrometheusRule,
// SecurityContextConstraints. Only their files are read, so nothing here imports them, and
// `go mod tidy` would remove them.
module github.com/outrider-mesh/outrider/test/crds

go 1.26.0

require (
	github.com/openshift/api v0.0.0-20260501191448-a49973eaef53
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
