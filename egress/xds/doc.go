// Package xds serves the sidecars' configuration by delta ADS over TLS.
//
// A Server serves generations: Publish takes a model, and every stream is then
// updated to it. Before the first Publish every stream is rejected, because a
// sidecar applies an empty configuration; the caller publishes only after its
// initial lists are complete.
//
// A stream is authenticated when it is opened, by its bearer token, and gets the
// view of the token's namespace, or of its pod where Sidecars select pods by their
// labels: Labels has these, by the pod's name and UID in the token. What a sidecar reports about itself (its node
// ID) is shown to operators and has no other effect.
//
// The body of each resource is encoded once per view and shared by all streams
// that send it. Clusters of declared hosts are sent on demand, by name; a name
// that is not visible to the namespace is answered as removed.
//
// Updates are sent make before break: clusters, listeners, routes, and last the
// removal of clusters that no route refers to any more.
//
// Why this is not go-control-plane's server: docs/decisions/0007.
package xds
