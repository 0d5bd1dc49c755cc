package egress

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
)

// IsAuthority reports whether a header is the Host of a request.
func IsAuthority(name string) bool {
	return strings.EqualFold(name, "host") || strings.EqualFold(name, ":authority")
}

// authorityOf is the Host that header operations set; empty: none.
func authorityOf(h *networkingv1alpha3.Headers) string {
	set := h.GetRequest().GetSet()
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if IsAuthority(name) {
			return set[name]
		}
	}
	return ""
}

// pseudoHeaders are matched by fields of their own; among headers they are
// ignored, as in Istio.
func pseudoHeaders() []string { return []string{"uri", "scheme", "method", "authority"} }

// pseudoField is the field of a match that compares a pseudo-header of HTTP/2,
// which is no header of a match; empty: the name is another one's.
func pseudoField(name string) string {
	return map[string]string{":authority": "authority", ":method": "method", ":path": "uri", ":scheme": "scheme"}[strings.ToLower(name)]
}

// ClusterHeader passes the name of a cluster from the sidecar's filters to its
// routes. An application's value is overwritten, and the header is removed from
// all requests.
const ClusterHeader = "x-outrider-cluster"

// HeaderNames are the headers that a match compares, sorted.
func HeaderNames(of map[string]*networkingv1alpha3.StringMatch) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(of)), func(name string) bool { return slices.Contains(pseudoHeaders(), name) })
}

// meshGateway is the gateway that all sidecars are.
const meshGateway = "mesh"

// forMesh reports whether a list of gateways includes the sidecars.
func forMesh(gateways []string) bool {
	return len(gateways) == 0 || slices.Contains(gateways, meshGateway)
}

// MatchesEverything reports whether a match has no condition but the port.
func MatchesEverything(m *networkingv1alpha3.HTTPMatchRequest) bool {
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

// httpMethods are the methods of HTTP, which are case-sensitive.
func httpMethods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"}
}

// DefaultRetryOn and DefaultRetryAttempts are Istio's, for routes without
// retries.
const (
	DefaultRetryOn       = "connect-failure,refused-stream,unavailable,cancelled"
	DefaultRetryAttempts = 2
)

// retryConditions are Envoy's, which silently ignores any other.
func retryConditions() []string { return strings.Fields(retryConditionNames) }

// readRetryOn splits retryOn into conditions, status codes, and unknown items.
func readRetryOn(text string) (on []string, statuses []uint32, unknown []string) {
	if text == "" {
		text = DefaultRetryOn
	}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		n, err := strconv.ParseUint(part, 10, 16)
		switch {
		case part == "":
		case slices.Contains(retryConditions(), part):
			on = append(on, part)
		case err == nil && n >= 100 && n <= 599:
			statuses = append(statuses, uint32(n))
		default:
			unknown = append(unknown, part)
		}
	}
	if len(statuses) > 0 && !slices.Contains(on, "retriable-status-codes") {
		on = append(on, "retriable-status-codes")
	}
	return on, statuses, unknown
}

// grpcStatus reads a gRPC status: its name or its number.
func grpcStatus(name string) (uint32, bool) {
	var c codes.Code
	if c.UnmarshalJSON([]byte(`"`+name+`"`)) == nil || c.UnmarshalJSON([]byte(name)) == nil {
		return uint32(c), c <= codes.Unauthenticated
	}
	return 0, false
}

// millionths of all requests.
func millionths(percent float64) uint32 { return uint32(math.Round(percent * 1e4)) }

// bodyOf is the body of a direct response.
func bodyOf(d *networkingv1alpha3.HTTPDirectResponse) []byte {
	if b := d.GetBody().GetBytes(); len(b) > 0 {
		return b
	}
	return []byte(d.GetBody().GetString_())
}

// The fields below are deprecated, and accepted in existing objects.

// delayPercent is the share of delayed requests in whole percent.
func delayPercent(d *networkingv1alpha3.HTTPFaultInjection_Delay) int32 {
	return d.GetPercent() //nolint:staticcheck // see above
}

// mirrorPercent is the share of mirrored requests in whole percent.
func mirrorPercent(s *networkingv1alpha3.HTTPRoute) (percent uint32, given bool) {
	p := s.GetMirrorPercent() //nolint:staticcheck // see above
	return p.GetValue(), p != nil
}

// allowOrigin are the exact origins of a CORS policy.
func allowOrigin(c *networkingv1alpha3.CorsPolicy) []string {
	return c.GetAllowOrigin() //nolint:staticcheck // see above
}
