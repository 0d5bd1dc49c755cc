package envoy

import "fmt"

// The filter chains of a listener.
const (
	chainInCluster = "in-cluster"          // passed on to the address that was dialled
	chainHTTP      = "http"                // decided by Host in the route configuration
	chainTLS       = "known-sni"           // a declared name: it is resolved, and the cluster is named after it
	chainTLSListed = "known-sni-endpoints" // a declared name with endpoints of its own
	chainRest      = "rest"                // what mesh.outboundTrafficPolicy says
	chainLoop      = "loop"                // the sidecar's own port: refused
)

// virtualOutbound takes what the redirection sends and hands it to the listener
// of the port that was dialled, where there is one.
const virtualOutbound = "virtualOutbound"

// catchAllRoute is for HTTP on the ports that have no listener of their own.
const catchAllRoute = "catchall"

// sharedVirtualHost is the virtual host of a port for all hosts about which nothing
// is said but that they are declared. One for each would take 3 KB of every
// sidecar's memory, and this takes 0.2.
const sharedVirtualHost = "declared"

// clusterHeader holds the name of a cluster between the sidecar's own filters
// and routes. What an application sends in it is overwritten, and no request
// leaves with it.
const clusterHeader = "x-outrider-cluster"

// namesCluster takes the connections to all names that are passed on as bytes.
// Its log lines have the name that a cluster of the host's own would have. One
// for each host would hold the addresses of all others too, for they share the
// cache that the connection's filters resolve with.
const namesCluster = "outbound|names"

// The caches of names: what requests ask for under wildcards, and what
// connections that are passed on as bytes lead to. Each cluster of a cache holds
// all of its names.
const (
	cacheWildcards = "wildcards"
	cacheNames     = "names"
)

// The objects of a connection's or a request's state that Envoy's filters look
// for: the cluster to pass bytes on to, and the name and the port to resolve.
const (
	stateCluster = "envoy.tcp_proxy.cluster"
	stateHost    = "envoy.upstream.dynamic_host"
	statePort    = "envoy.upstream.dynamic_port"
)

// stateFilter sets the name and the port that the next filter resolves.
const stateFilter = "envoy.filters.http.set_filter_state"

// The filters that routes have settings for.
const (
	corsFilter  = "envoy.filters.http.cors"
	faultFilter = "envoy.filters.http.fault"
)

// httpOptions is the key of a cluster's HTTP options.
const httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// The namespace and the keys of a cluster's metadata: the port to dial where the
// request to a wildcard does not say it, and what requests to a host say in
// X-Envoy-Decorator-Operation.
const (
	metadataNamespace = "outrider"
	metadataPort      = "port"
	metadataOperation = "operation"
)

// operationOf is what requests to a host say in X-Envoy-Decorator-Operation
// where no route says more.
func operationOf(name string, port uint32) string { return fmt.Sprintf("%s:%d/*", name, port) }
