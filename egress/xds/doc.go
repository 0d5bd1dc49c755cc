// Package xds serves the sidecars' configuration by delta ADS over TLS.
//
// A Server serves generations: Publish takes a model, and from then on every
// stream is led to what that model says. Before the first Publish every stream
// is refused, for a sidecar takes an empty world at its word; who calls Publish
// waits until what it watches is known.
//
// A stream is authenticated when it is opened, by the token it brings, and gets
// the view of the namespace that the token belongs to. What a sidecar says of
// itself is shown to operators and decides nothing.
//
// The body of each resource is made once per view and shared by all streams
// that send it. Clusters of declared hosts are sent to those that ask for them
// by name; a name that the namespace does not see is answered as missing.
//
// What is added goes out as clusters, listeners, routes; clusters that are gone
// are withdrawn last, when nothing leads to them any more.
package xds
