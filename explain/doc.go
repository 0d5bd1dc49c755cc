// Package explain answers questions about one pod: whether it is injected, with which
// settings, and where its connections go.
//
// Contract: it is pure, and all decisions are those of other packages. The selectors of the registered
// webhooks are evaluated as the API server does (matchConditions are only named); the injection is inject.Injector's, the
// redirect redirect.Plan's by the arguments of the pod's own init container, and the
// sidecar's part egress/decide's. An Answer is JSON of the version APIVersion, whose schema
// is docs/explain.schema.json, and Text renders it.
//
// Files, each using only those before it: answer.go (the answer), place.go (where a setting
// is), webhook.go (the selectors), further.go (settings that the injection does not list),
// pod.go (the injection), destination.go (what is asked for), traffic.go (where a connection
// goes), explain.go (all of it), text.go (as text).
package explain
