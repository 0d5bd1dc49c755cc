// Package envoy makes the Envoy resources of a view: clusters, listeners and
// route configurations.
//
// It is pure, and its results are deterministic: the same view gives the same
// resources, byte by byte. Together with egress/xds it is the only package that
// imports Envoy's API.
//
// # What is where
//
// Declared hosts are in the route configurations (by Host) and in the
// filter_chain_matcher of each listener (by SNI and address). The clusters of
// declared hosts are on demand: a sidecar requests one by name when the host is
// first used, so it never requests a name that is not declared. The filter
// chains themselves do not depend on what is declared: Envoy drains the
// connections of a chain that changes, and updates a filter_chain_matcher in
// place. A wildcard, a TCP host and a route by SNI have chains of their own, one
// for each endpoint or destination that connections are split among. HTTP hosts
// without a VirtualService share one virtual host.
//
// # Who resolves names
//
// The name of a request is resolved by the cluster of its host, which balances
// over all answers; a filter in the cluster rejects requests whose connection
// has a local address, which no name may resolve to. The name of a forwarded
// connection is resolved by a filter of its chain, from a cache that removes
// local addresses from the answers, and uses one cluster for all names: a
// cluster with a shared cache holds all names of the cache. Mirrored requests
// pass no filters, so each of their clusters has a filtered cache of its own.
//
// # Files
//
// Each file uses only those before it:
//
//   - names.go: names that several resources refer to
//   - resource.go: a resource, and the builder of messages
//   - runtime.go: the runtime, which decides how destinations are reported
//   - address.go: address ranges
//   - counts.go: counters of connections, and filters of access loggers
//   - accesslog.go: access loggers
//   - header.go: header operations
//   - blockedbody.go: the bodies of responses to blocked requests
//   - cluster.go: clusters
//   - filter.go: network and HTTP filters
//   - match.go: matchers that choose a filter chain
//   - split.go: filter chains that connections are split among by weight
//   - listener.go: listeners
//   - routematch.go: matches of routes
//   - routefilter.go: the filter settings of a route
//   - routeaction.go: the routes of a VirtualService
//   - sharedvirtualhost.go: the virtual host of hosts without a VirtualService
//   - route.go: route configurations
//   - resources.go: all resources of a view
//   - trial.go: a resource that shows whether Envoy accepts another one
package envoy
