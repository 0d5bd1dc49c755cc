// Package egress turns the mesh configuration, the cluster's own destinations,
// ServiceEntries and VirtualServices into what the sidecars run.
//
// It has two steps. Build turns objects into a Model: validated, in normal form
// and sorted, with every Problem it found; a part with an error is left out and
// the rest stays. A Model has one View per namespace, for objects can be private
// to namespaces and names can be in conflict; a View becomes Envoy resources,
// and its Decide says where a request goes and why. The two come from the same
// objects by different ways, and random requests through a real sidecar hold
// them against each other.
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
// a chain that changes, and edits a filter_chain_matcher in place. A wildcard, a
// TCP host and a route by SNI have chains of their own, one for each endpoint or
// destination that connections are shared out among. HTTP hosts that no
// VirtualService is about share one virtual host.
//
// # Who resolves what
//
// A request's name is resolved by the cluster of its host, which balances over
// all answers; a guard in the cluster refuses requests whose connection led to
// an address that no name may lead to. Bytes that are passed on have their name
// resolved by a filter of their chain, out of a cache that takes such addresses
// out of the answers, and go by one cluster for all names: a cluster that shares
// a cache holds all of its names. Copies of requests go past filters and guards,
// so each of their clusters has a filtered cache of its own.
package egress
