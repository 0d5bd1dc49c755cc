package envoy

import (
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	commonfaultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
)

// perRoute are the filter settings of a route.
func (b *builder) perRoute(rule egress.HTTPRoute) map[string]*anypb.Any {
	out := map[string]*anypb.Any{}
	if f := faultOf(rule); f != nil {
		out[faultFilter] = b.pack(f)
	}
	if rule.Spec.CorsPolicy != nil {
		out[corsFilter] = b.pack(corsOf(rule))
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func faultOf(rule egress.HTTPRoute) *faultv3.HTTPFault {
	f, out := rule.Spec.Fault, &faultv3.HTTPFault{}
	if share := rule.DelayShare(); share > 0 {
		out.Delay = &commonfaultv3.FaultDelay{
			Percentage:         fraction(share),
			FaultDelaySecifier: &commonfaultv3.FaultDelay_FixedDelay{FixedDelay: f.Delay.GetFixedDelay()},
		}
	}
	if a := f.GetAbort(); a.GetPercentage().GetValue() > 0 {
		out.Abort = &faultv3.FaultAbort{Percentage: fraction(rule.AbortShare())}
		switch e := a.ErrorType.(type) {
		case *networkingv1alpha3.HTTPFaultInjection_Abort_HttpStatus:
			out.Abort.ErrorType = &faultv3.FaultAbort_HttpStatus{HttpStatus: uint32(e.HttpStatus)}
		case *networkingv1alpha3.HTTPFaultInjection_Abort_GrpcStatus:
			code, _ := rule.AbortGRPCStatus()
			out.Abort.ErrorType = &faultv3.FaultAbort_GrpcStatus{GrpcStatus: code}
		}
	}
	if out.Delay == nil && out.Abort == nil {
		return nil
	}
	return out
}

// million are all requests, in millionths.
const million = 1_000_000

// fraction is a number of millionths.
func fraction(n uint32) *typev3.FractionalPercent {
	return &typev3.FractionalPercent{Numerator: n, Denominator: typev3.FractionalPercent_MILLION}
}

func corsOf(rule egress.HTTPRoute) *corsv3.CorsPolicy {
	c := rule.Spec.CorsPolicy
	out := &corsv3.CorsPolicy{
		AllowMethods: strings.Join(c.AllowMethods, ","), AllowHeaders: strings.Join(c.AllowHeaders, ","), ExposeHeaders: strings.Join(c.ExposeHeaders, ","),
		AllowCredentials: c.AllowCredentials, FilterEnabled: &corev3.RuntimeFractionalPercent{DefaultValue: fraction(million)},
	}
	for _, o := range rule.AllowedOrigins() {
		out.AllowOriginStringMatch = append(out.AllowOriginStringMatch, stringMatcher(o))
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
