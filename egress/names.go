package egress

import (
	"fmt"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
)

// clusterName is Istio's, as users know it from the access log.
func clusterName(port uint32, host string) string { return fmt.Sprintf("outbound|%d||%s", port, host) }

// The clusters for what no entry declares, by the names that users know.
const (
	PassthroughCluster = "PassthroughCluster"
	BlackHoleCluster   = "BlackHoleCluster"
)

// What the route's name in the access log says, as in Istio.
const (
	routeAllow     = "allow_any"
	routeBlock     = "block_all"
	routeBlockPort = "block_port"
	routeDefault   = "default"
)

// http502 is what a blocked request is answered: Bad Gateway, as in Istio.
const http502 = 502

// routeName is what the access log has: the route's name, then the match's.
func routeName(s *networkingv1alpha3.HTTPRoute, m *networkingv1alpha3.HTTPMatchRequest) string {
	if m.GetName() == "" {
		return s.Name
	}
	return s.Name + "." + m.Name
}
