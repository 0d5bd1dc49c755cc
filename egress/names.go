package egress

import (
	"fmt"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
)

// ClusterName is the name of a declared host's cluster, in Istio's form, which
// users know from access logs.
func ClusterName(port uint32, host string) string { return fmt.Sprintf("outbound|%d||%s", port, host) }

// AddressClusterName is the name of the cluster for connections to an address of a
// TLS host. The host of requests to the same address and port may be another one.
func AddressClusterName(port uint32, address string) string {
	return fmt.Sprintf("outbound|%d|tls|%s", port, address)
}

// The clusters of traffic that no ServiceEntry declares, by Istio's names.
const (
	PassthroughCluster = "PassthroughCluster" // forwards to the original destination
	BlackHoleCluster   = "BlackHoleCluster"   // has no endpoints
)

// The names of routes in access logs, as in Istio.
const (
	RouteAllowAny  = "allow_any"
	RouteBlockAll  = "block_all"
	RouteBlockPort = "block_port"
	RouteDefault   = "default"
)

// BlockedStatus is the response to a blocked request: Bad Gateway, as in Istio.
const BlockedStatus = 502

// RouteName is the name of a route in access logs: its own, and that of the match.
func RouteName(s *networkingv1alpha3.HTTPRoute, m *networkingv1alpha3.HTTPMatchRequest) string {
	if m.GetName() == "" {
		return s.Name
	}
	return s.Name + "." + m.Name
}

// The counters of destinations that have no cluster of their own: CountPrefix.COUNT, then
// CountBy and the name of the cluster that a declared destination would have, or
// CountUndeclared and RULE|PROTOCOL|PORT|HOST of one that is not declared. A protocol is
// http or tcp, which is TLS where the host is a name. CountedNames comes before the name of
// a cluster in the prefix of statistics.
const (
	CountPrefix      = "egress"
	CountConnections = "connections"
	CountRequests    = "requests"
	CountSent        = "sent" // bytes, by the workload
	CountReceived    = "received"
	CountBy          = "cluster"
	CountUndeclared  = "undeclared"
	CountedNames     = "names."
)

// MostCounted is the number of undeclared destinations that a sidecar has counters for
// before it has entries again.
const MostCounted = 500

// The keys of Envoy's runtime that decide how a sidecar reports undeclared destinations:
// an entry for each request and connection, which is the default, or counters of them. Their
// values are 0 or 100.
const (
	RuntimeEntries  = "outrider.reports.entries"
	RuntimeCounters = "outrider.reports.counters"
)

// RuntimeName is the name of the resource with these keys.
const RuntimeName = "reports"
