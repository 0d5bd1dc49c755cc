package egress

import networkingv1alpha3 "istio.io/api/networking/v1alpha3"

// hostRoutes are the routes of one VirtualService for one of its hosts. They
// point into the object, which must not be changed.
type hostRoutes struct {
	meta    Meta
	exports exports
	host    string // httpbin.org or *.example.com
	path    string // spec.hosts[0]
	http    []HTTPRoute
	tls     []TLSRoute
}

func (r hostRoutes) hasHTTP() bool { return len(r.http) > 0 }

func (r hostRoutes) hasTLS() bool { return len(r.tls) > 0 }

// HTTPRoute is one validated route for requests.
type HTTPRoute struct {
	Spec         *networkingv1alpha3.HTTPRoute
	Path         string             // spec.http[0]
	Destinations []RouteDestination // none for a redirect or a direct response
	Mirrors      []RouteDestination // with the weight in millionths of the requests
}

// TLSRoute is one validated route for TLS connections.
type TLSRoute struct {
	Path         string // spec.tls[0]
	Destinations []RouteDestination
	matches      []sniMatch
}

// sniMatch is one match of a TLSRoute.
type sniMatch struct {
	path  string // spec.tls[0].match[0]
	names []string
	port  uint32 // 0: any
}

// RouteDestination is a destination as a route specifies it.
type RouteDestination struct {
	Host    string
	Port    uint32 // 0: not specified
	Weight  uint32
	Path    string // of the Destination: spec.http[0].route[0].destination
	Headers *networkingv1alpha3.Headers
}

// Authority is the Host that the route sets; empty: none.
func (r HTTPRoute) Authority() string {
	if host := r.Spec.GetRewrite().GetAuthority(); host != "" {
		return host
	}
	return authorityOf(r.Spec.GetHeaders())
}

// MatchesOn are the matches that can be true on a port; ok is false where the
// route has matches, and none for the port. A route without matches has one that
// is always true.
func (r HTTPRoute) MatchesOn(port uint32) (matches []*networkingv1alpha3.HTTPMatchRequest, ok bool) {
	if len(r.Spec.Match) == 0 {
		return []*networkingv1alpha3.HTTPMatchRequest{{}}, true
	}
	for _, m := range r.Spec.Match {
		if (m.Port == 0 || m.Port == port) && forMesh(m.Gateways) {
			matches = append(matches, m)
		}
	}
	return matches, len(matches) > 0
}

// RetryOn are the conditions and the status codes of retries.
func (r HTTPRoute) RetryOn() (conditions []string, statuses []uint32) {
	conditions, statuses, _ = readRetryOn(r.Spec.GetRetries().GetRetryOn())
	return conditions, statuses
}

// DelayShare is the share of requests that are delayed, in millionths.
func (r HTTPRoute) DelayShare() uint32 {
	d := r.Spec.GetFault().GetDelay()
	if d.GetPercentage() != nil {
		return millionths(d.Percentage.Value)
	}
	return millionths(float64(delayPercent(d)))
}

// AbortShare is the share of requests that are aborted, in millionths.
func (r HTTPRoute) AbortShare() uint32 {
	return millionths(r.Spec.GetFault().GetAbort().GetPercentage().GetValue())
}

// AbortGRPCStatus is the gRPC status of aborted requests; ok is false where they
// have an HTTP status.
func (r HTTPRoute) AbortGRPCStatus() (code uint32, ok bool) {
	if e, isGRPC := r.Spec.GetFault().GetAbort().GetErrorType().(*networkingv1alpha3.HTTPFaultInjection_Abort_GrpcStatus); isGRPC {
		return grpcStatus(e.GrpcStatus)
	}
	return 0, false
}

// AllowedOrigins are the origins of the CORS policy.
func (r HTTPRoute) AllowedOrigins() []*networkingv1alpha3.StringMatch {
	c := r.Spec.GetCorsPolicy()
	out := c.GetAllowOrigins()
	for _, o := range allowOrigin(c) {
		out = append(out[:len(out):len(out)], &networkingv1alpha3.StringMatch{MatchType: &networkingv1alpha3.StringMatch_Exact{Exact: o}})
	}
	return out
}

// Body is the body of a direct response.
func (r HTTPRoute) Body() []byte { return bodyOf(r.Spec.GetDirectResponse()) }

// Authority is the Host that the destination sets; empty: none.
func (d RouteDestination) Authority() string { return authorityOf(d.Headers) }
