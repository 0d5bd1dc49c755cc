package egress

import (
	"maps"
	"math"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
)

// hostRoutes is what one VirtualService says about one host. What it points
// into is shared with the object and must not be changed.
type hostRoutes struct {
	meta    Meta
	exports exports
	host    string // httpbin.org or *.example.com
	path    string // spec.hosts[0]
	http    []HTTPRoute
	tls     []TLSRoute
}

// HTTPRoute is one route for requests: the object's own words, which were found
// to make sense, and where it leads.
type HTTPRoute struct {
	Spec         *networkingv1alpha3.HTTPRoute
	Path         string             // spec.http[0]
	Destinations []RouteDestination // none for a redirection or a direct response
	Mirrors      []RouteDestination // the weight of each is in millionths of the requests
}

// TLSRoute is one route for TLS connections.
type TLSRoute struct {
	Path         string // spec.tls[0]
	matches      []sniMatch
	Destinations []RouteDestination
}

// sniMatch is the names of one match, and the port, which 0 leaves open.
type sniMatch struct {
	path  string // spec.tls[0].match[0]
	names []string
	port  uint32
}

// RouteDestination is one destination of a route.
type RouteDestination struct {
	Host    string
	Port    uint32 // 0: not given
	Weight  uint32
	Path    string // of the Destination: spec.http[0].route[0].destination
	Headers *networkingv1alpha3.Headers
}

func isAuthority(name string) bool {
	return strings.EqualFold(name, "host") || strings.EqualFold(name, ":authority")
}

// authorityOf is the Host that header operations set; empty: none.
func authorityOf(h *networkingv1alpha3.Headers) string {
	set := h.GetRequest().GetSet()
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if isAuthority(name) {
			return set[name]
		}
	}
	return ""
}

// routeAuthority is the Host that a route sets; empty: none.
func routeAuthority(s *networkingv1alpha3.HTTPRoute) string {
	if host := s.GetRewrite().GetAuthority(); host != "" {
		return host
	}
	return authorityOf(s.Headers)
}

// pseudoHeaders stand for fields of their own, and are ignored, as in Istio.
func pseudoHeaders() []string { return []string{"uri", "scheme", "method", "authority"} }

// headerNames are the headers that are compared, sorted.
func headerNames(of map[string]*networkingv1alpha3.StringMatch) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(of)), func(name string) bool { return slices.Contains(pseudoHeaders(), name) })
}

// forMesh reports whether something for some gateways is for the sidecars.
func forMesh(gateways []string) bool { return len(gateways) == 0 || slices.Contains(gateways, "mesh") }

// matchesOn are the matches of a route that can hold on a port; ok is false
// where it has matches, and none for the port.
func matchesOn(s *networkingv1alpha3.HTTPRoute, port uint32) (matches []*networkingv1alpha3.HTTPMatchRequest, ok bool) {
	if len(s.Match) == 0 {
		return []*networkingv1alpha3.HTTPMatchRequest{{}}, true
	}
	for _, m := range s.Match {
		if (m.Port == 0 || m.Port == port) && forMesh(m.Gateways) {
			matches = append(matches, m)
		}
	}
	return matches, len(matches) > 0
}

// matchesAll reports whether a match has no condition but the port.
func matchesAll(m *networkingv1alpha3.HTTPMatchRequest) bool {
	conditions := len(m.GetQueryParams())
	for _, headers := range []map[string]*networkingv1alpha3.StringMatch{m.GetHeaders(), m.GetWithoutHeaders()} {
		for name := range headers {
			if !slices.Contains(pseudoHeaders(), name) {
				conditions++
			}
		}
	}
	all := m.GetUri() == nil || m.GetUri().GetPrefix() == "/"
	return all && conditions == 0 && m.GetScheme() == nil && m.GetMethod() == nil && m.GetAuthority() == nil && forMesh(m.GetGateways())
}

// bodyOf is the body of a direct response.
func bodyOf(d *networkingv1alpha3.HTTPDirectResponse) []byte {
	if b := d.GetBody().GetBytes(); len(b) > 0 {
		return b
	}
	return []byte(d.GetBody().GetString_())
}

// The fields below have successors. Objects that were written before still have
// them, and the API still takes them.

// delayPercent is the share of a delay in whole percent.
func delayPercent(d *networkingv1alpha3.HTTPFaultInjection_Delay) int32 {
	return d.GetPercent() //nolint:staticcheck // see above
}

// mirrorPercent is the share of the copies in whole percent.
func mirrorPercent(s *networkingv1alpha3.HTTPRoute) (percent uint32, given bool) {
	p := s.GetMirrorPercent() //nolint:staticcheck // see above
	return p.GetValue(), p != nil
}

// allowOrigin are the origins that a CORS policy lists by their names.
func allowOrigin(c *networkingv1alpha3.CorsPolicy) []string {
	return c.GetAllowOrigin() //nolint:staticcheck // see above
}

// millionths of all requests.
func millionths(percent float64) uint32 { return uint32(math.Round(percent * 1e4)) }

// delayMillionths is the part of the requests that are delayed, in millionths.
func delayMillionths(d *networkingv1alpha3.HTTPFaultInjection_Delay) uint32 {
	if d.GetPercentage() != nil {
		return millionths(d.Percentage.Value)
	}
	return millionths(float64(delayPercent(d)))
}
