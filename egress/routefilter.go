package egress

import (
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	commonfaultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
)

// perRoute are the settings that a route has for filters.
func (b *builder) perRoute(s *networkingv1alpha3.HTTPRoute) map[string]*anypb.Any {
	out := map[string]*anypb.Any{}
	if f := faultOf(s.Fault); f != nil {
		out[faultFilter] = b.pack(f)
	}
	if s.CorsPolicy != nil {
		out[corsFilter] = b.pack(corsOf(s.CorsPolicy))
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func faultOf(f *networkingv1alpha3.HTTPFaultInjection) *faultv3.HTTPFault {
	out := &faultv3.HTTPFault{}
	if share := delayMillionths(f.GetDelay()); share > 0 {
		out.Delay = &commonfaultv3.FaultDelay{
			Percentage:         fraction(share),
			FaultDelaySecifier: &commonfaultv3.FaultDelay_FixedDelay{FixedDelay: f.Delay.GetFixedDelay()},
		}
	}
	if a := f.GetAbort(); a.GetPercentage().GetValue() > 0 {
		out.Abort = &faultv3.FaultAbort{Percentage: fraction(millionths(a.Percentage.Value))}
		switch e := a.ErrorType.(type) {
		case *networkingv1alpha3.HTTPFaultInjection_Abort_HttpStatus:
			out.Abort.ErrorType = &faultv3.FaultAbort_HttpStatus{HttpStatus: uint32(e.HttpStatus)}
		case *networkingv1alpha3.HTTPFaultInjection_Abort_GrpcStatus:
			code, _ := grpcStatus(e.GrpcStatus)
			out.Abort.ErrorType = &faultv3.FaultAbort_GrpcStatus{GrpcStatus: code}
		}
	}
	if out.Delay == nil && out.Abort == nil {
		return nil
	}
	return out
}

// fraction is a number of millionths.
func fraction(n uint32) *typev3.FractionalPercent {
	return &typev3.FractionalPercent{Numerator: n, Denominator: typev3.FractionalPercent_MILLION}
}

func corsOf(c *networkingv1alpha3.CorsPolicy) *corsv3.CorsPolicy {
	out := &corsv3.CorsPolicy{
		AllowMethods: strings.Join(c.AllowMethods, ","), AllowHeaders: strings.Join(c.AllowHeaders, ","), ExposeHeaders: strings.Join(c.ExposeHeaders, ","),
		AllowCredentials: c.AllowCredentials, FilterEnabled: &corev3.RuntimeFractionalPercent{DefaultValue: fraction(millionths(100))},
	}
	for _, o := range c.AllowOrigins {
		out.AllowOriginStringMatch = append(out.AllowOriginStringMatch, stringMatcher(o))
	}
	for _, o := range allowOrigin(c) {
		out.AllowOriginStringMatch = append(out.AllowOriginStringMatch, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: o}})
	}
	if c.MaxAge != nil {
		out.MaxAge = fmt.Sprint(int64(c.MaxAge.AsDuration().Seconds()))
	}
	switch c.UnmatchedPreflights {
	case networkingv1alpha3.CorsPolicy_FORWARD:
		out.ForwardNotMatchingPreflights = wrapperspb.Bool(true)
	case networkingv1alpha3.CorsPolicy_IGNORE:
		out.ForwardNotMatchingPreflights = wrapperspb.Bool(false)
	}
	return out
}
