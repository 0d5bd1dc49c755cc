package egress

import networkingv1alpha3 "istio.io/api/networking/v1alpha3"

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
