// Package egress turns the mesh configuration, the cluster's own destinations
// and ServiceEntries into what the sidecars run.
//
// It has two steps. Build turns objects into a Model: validated, in normal form
// and sorted, with every Problem it found; a part with an error is left out and
// the rest stays. A Model has one View per namespace, for objects can be private
// to namespaces and names can be in conflict; a View becomes Envoy resources.
//
// It is a pure room: the same objects give the same resources, byte by byte.
// Nothing here changes after it is returned, so all of it may be shared by
// goroutines. Serving the resources belongs to egress/xds, watching the objects
// to egress/kube.
//
// # What stands where
//
// What is declared stands in the route configurations (by Host) and in each
// listener's filter_chain_matcher (by SNI and address). The clusters of declared
// hosts are on demand: a sidecar asks for one by name when it is first used, so
// a name that was never declared never leads to a question. The filter chains
// themselves do not depend on what is declared: Envoy drains the connections of
// a chain that changes, and edits a filter_chain_matcher in place.
package egress
