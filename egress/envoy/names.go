package envoy

import (
	"fmt"

	"github.com/outrider-mesh/outrider/egress"
)

// The filter chains of a listener.
const (
	chainInCluster     = "in-cluster"              // forwarded to the original destination
	chainHTTP          = "http"                    // routed by Host in the route configuration
	chainTLS           = "known-sni"               // a declared name, which is resolved
	chainTLSListed     = "known-sni-endpoints"     // a declared name with endpoints of its own
	chainAddress       = "known-address"           // an address without resolution
	chainAddressListed = "known-address-endpoints" // an address of a host with endpoints
	chainRest          = "rest"                    // handled by outboundTrafficPolicy
	chainLoop          = "loop"                    // the sidecar's own port: closed
)

// virtualOutbound receives all redirected connections, and hands them to the
// listener of the original destination port where there is one.
const virtualOutbound = "virtualOutbound"

// catchAllRoute is for HTTP on ports without a listener of their own.
const catchAllRoute = "catchall"

// sharedVirtualHost is the virtual host of a port for all hosts without a
// VirtualService. One for each host would take 3 KB of every sidecar's memory,
// and this takes 0.2.
const sharedVirtualHost = "declared"

// namesCluster is the cluster of all connections that are forwarded to DNS
// names. Its log lines have the name that a cluster of the host would have. A
// cluster for each host would hold the addresses of all others, too, because
// they share the cache that the filters of the connection resolve with.
const namesCluster = "outbound|names"

// inClusterCluster forwards to original destinations that are always reachable. It
// is not egress.PassthroughCluster, which is outboundTrafficPolicy: see policyCluster.
const inClusterCluster = "in-cluster"

// The caches of names: those of requests to wildcards, and those of forwarded
// connections. Each cluster with a cache holds all of its names.
const (
	cacheWildcards = "wildcards"
	cacheNames     = "names"
)

// The filter state objects that Envoy's filters read: the cluster to forward
// to, and the name and the port to resolve.
const (
	stateCluster = "envoy.tcp_proxy.cluster"
	stateHost    = "envoy.upstream.dynamic_host"
	statePort    = "envoy.upstream.dynamic_port"
)

// stateFilter sets the name and the port that the next filter resolves.
const stateFilter = "envoy.filters.http.set_filter_state"

// The filters that have settings in routes.
const (
	corsFilter  = "envoy.filters.http.cors"
	faultFilter = "envoy.filters.http.fault"
)

// httpOptions is the key of a cluster's HTTP options.
const httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// The namespace and the keys of a cluster's metadata: the port of requests to a
// wildcard whose Host has none, and the X-Envoy-Decorator-Operation of requests
// to a host.
const (
	metadataNamespace = "outrider"
	metadataPort      = "port"
	metadataOperation = "operation"
)

// undeclaredFilter sets the key metadataUndeclared of the metadata of requests to
// undeclared hosts, in metadataNamespace.
const (
	undeclaredFilter   = "envoy.filters.http.set_metadata"
	metadataUndeclared = "undeclared"
)

// blockedFilter sets the key metadataBlocked of the metadata of requests that are blocked,
// in a namespace of its own name.
const (
	blockedFilter   = "outrider.blocked"
	metadataBlocked = "blocked"
)

// originalAddress is the original destination address of a connection.
const originalAddress = "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%"

// sniOrAddress is the SNI of a connection, or else that address, and authorityOrAddress the
// Host of a request. The longest name has 253 characters.
const (
	sniOrAddress       = `%COALESCE({"operators": ["REQUESTED_SERVER_NAME", "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT"]}):260%`
	authorityOrAddress = `%COALESCE({"operators": [{"command": "REQ", "param": ":authority"}, "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT"]}):260%`
)

// addressCluster is what access logs have as the cluster of connections to an
// address.
func addressCluster(port uint32) string { return egress.ClusterName(port, originalAddress) }

// operationOf is the X-Envoy-Decorator-Operation of requests without a route.
func operationOf(name string, port uint32) string { return fmt.Sprintf("%s:%d/*", name, port) }
