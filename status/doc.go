// Package status compares the running pods of a cluster with the active settings: which
// workloads were injected under others, and which pods should have a sidecar and have none.
//
// Contract: it is pure, and compares by injecting again: the pod without its injection is
// injected by inject.Injector with the active settings, as explain.Subject does, so that a
// setting that no pod depends on makes none stale. Pods of the same pod template and with
// the same record of their injection are compared once. A Report is JSON of the version
// APIVersion, whose schema is docs/status.schema.json, and Text renders it. A Preview is the
// same comparison with other settings.
//
// Files, each using only those before it: report.go (the report), workload.go (pods of one
// workload), outcome.go (a pod as it runs, and as it would be created), cause.go (why a pod
// has no sidecar), replica.go (the product's own replicas), active.go (the active configuration), sidecar.go (sidecars with a
// problem), collector.go (all pods), counter.go (their
// numbers alone), since.go (since when a workload is stale), bypass.go (what
// bypasses sidecars), preview.go (what an edit changes), text.go (as text).
package status
