package egress

import (
	"fmt"
	"slices"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/problem"
)

func readHTTPRoute(s *networkingv1alpha3.HTTPRoute, path string, r reporter) HTTPRoute {
	out := HTTPRoute{Spec: s, Path: path}
	if s == nil {
		r.add(problem.Required(path, "specify a route, or remove the item"))
		return out
	}
	if allElsewhere(s.Match) {
		return out
	}
	readText(s.Name, path+".name", r)
	if slices.Contains([]string{RouteAllowAny, RouteBlockAll, RouteBlockPort}, s.Name) {
		r.warn(path+".name", s.Name, "access logs and reports have this name for requests to hosts that are not declared", "use another name")
	}
	for i, m := range s.Match {
		if forMesh(m.GetGateways()) {
			readMatch(m, fmt.Sprintf("%s.match[%d]", path, i), r)
		}
	}
	out.Destinations = readDestinations(s.Route, path+".route", r)
	for i, d := range s.Route {
		at := fmt.Sprintf("%s.route[%d].headers", path, i)
		readHeaders(d.GetHeaders(), at, r)
		if d.GetHeaders() != nil {
			out.Destinations[i].Headers = d.Headers
		}
	}
	readRouteKind(s, path, r)
	readTime(s.Timeout, path+".timeout", true, r)
	readRetries(s, path+".retries", r)
	readRewrite(s.Rewrite, path+".rewrite", r)
	readHeaders(s.Headers, path+".headers", r)
	if s.GetRewrite().GetAuthority() != "" && authorityOf(s.Headers) != "" {
		r.add(problem.Conflict(path+".headers.request.set", authorityOf(s.Headers), "rewrite.authority", "set Host in one of them"))
	}
	readFault(s.Fault, path+".fault", r)
	readCORS(s.CorsPolicy, path+".corsPolicy", r)
	out.Mirrors = readMirrors(s, path, r)
	return out
}

// readRouteKind validates what a route does: it has destinations, or a
// redirect, or a direct response.
func readRouteKind(s *networkingv1alpha3.HTTPRoute, path string, r reporter) {
	kinds := 0
	for _, is := range []bool{len(s.Route) > 0, s.Redirect != nil, s.DirectResponse != nil} {
		if is {
			kinds++
		}
	}
	if kinds > 1 || kinds == 0 && s.Delegate == nil { // which is reported as not supported
		r.error(path, "", "exactly one of route, redirect or directResponse must be set", "set one of them, and remove the others")
	}
	if len(s.Route) == 0 && (s.Redirect != nil || s.DirectResponse != nil) {
		for _, field := range []struct {
			name string
			set  bool
		}{
			{"rewrite", s.Rewrite != nil}, {"timeout", s.Timeout != nil}, {"retries", s.Retries != nil},
			{"mirror", s.Mirror != nil}, {"mirrors", len(s.Mirrors) > 0},
		} {
			if field.set {
				r.error(path+"."+field.name, "", "has no effect without a route destination", "remove it")
			}
		}
	}
	if len(s.Route) == 0 && s.Headers.GetRequest() != nil {
		r.add(problem.NoEffect(path+".headers.request", "", "the request is not forwarded", fixRemove))
	}
	readRedirect(s.Redirect, path+".redirect", r)
	if d := s.DirectResponse; d != nil {
		if d.Status < 200 || d.Status > 599 {
			r.add(problem.OutOfRange(path+".directResponse.status", fmt.Sprint(d.Status), "HTTP status", 200, 599).WithFix("use a status such as 503"))
		}
		switch n := len(bodyOf(d)); {
		case n > MaxDirectResponseBody:
			r.error(path+".directResponse.body", "", fmt.Sprintf("%d bytes exceed the maximum length of %d", n, MaxDirectResponseBody), "use a shorter body")
		case n > bodyThreshold:
			r.warn(path+".directResponse.body", "", fmt.Sprintf("%d bytes are sent to every sidecar", n), "use a shorter body")
		}
	}
}

func readFault(f *networkingv1alpha3.HTTPFaultInjection, path string, r reporter) {
	if f == nil {
		return
	}
	if f.Delay == nil && f.Abort == nil {
		r.error(path, "", "must set delay or abort", "set one of them, or remove it")
	}
	if d := f.Delay; d != nil {
		at := path + ".delay"
		if d.GetFixedDelay() == nil && d.GetExponentialDelay() == nil {
			r.add(problem.Required(at+".fixedDelay", "use a duration such as 5s"))
		}
		readTime(d.GetFixedDelay(), at+".fixedDelay", false, r)
		readPercent(d.Percentage, at+".percentage", r)
		if p := delayPercent(d); p < 0 || p > 100 {
			r.error(at+".percent", fmt.Sprint(p), "must be in the range 0..100", "use percentage.value")
		}
		if d.Percentage == nil && delayPercent(d) == 0 {
			r.warn(at+".percentage", "", "percentage is required to take effect", "set percentage.value, such as 100")
		}
	}
	if a := f.Abort; a != nil {
		at := path + ".abort"
		switch e := a.ErrorType.(type) {
		case *networkingv1alpha3.HTTPFaultInjection_Abort_HttpStatus:
			if e.HttpStatus < 200 || e.HttpStatus > 599 {
				r.add(problem.OutOfRange(at+".httpStatus", fmt.Sprint(e.HttpStatus), "HTTP status", 200, 599).WithFix("use a status such as 503"))
			}
		case *networkingv1alpha3.HTTPFaultInjection_Abort_GrpcStatus:
			if _, ok := grpcStatus(e.GrpcStatus); !ok {
				r.error(at+".grpcStatus", e.GrpcStatus, "unknown gRPC status", "use a status such as UNAVAILABLE")
			}
		case nil:
			r.add(problem.Required(at+".httpStatus", "use a status such as 503"))
		}
		readPercent(a.Percentage, at+".percentage", r)
		if a.Percentage == nil {
			r.warn(at+".percentage", "", "percentage is required to take effect", "set percentage.value, such as 100")
		}
	}
}

func readMirrors(s *networkingv1alpha3.HTTPRoute, path string, r reporter) []RouteDestination {
	var out []RouteDestination
	whole, given := mirrorPercent(s)
	if s.Mirror != nil {
		t := readDestination(s.Mirror, path+".mirror", r)
		t.Weight = millionths(100)
		readPercent(s.MirrorPercentage, path+".mirrorPercentage", r)
		if whole > 100 {
			r.error(path+".mirrorPercent", fmt.Sprint(whole), "must be in the range 0..100", "use mirrorPercentage.value")
		}
		switch {
		case s.MirrorPercentage != nil:
			t.Weight = millionths(s.MirrorPercentage.Value)
		case given:
			t.Weight = millionths(float64(whole))
		}
		out = append(out, t)
	} else if s.MirrorPercentage != nil || given {
		r.add(problem.NoEffect(path+".mirrorPercentage", "", "mirror is not set", "set mirror, or remove it"))
	}
	if s.Mirror != nil && len(s.Mirrors) > 0 {
		r.add(problem.Conflict(path+".mirrors", "", "mirror", "move all of them to mirrors"))
	}
	for i, m := range s.Mirrors {
		at := fmt.Sprintf("%s.mirrors[%d]", path, i)
		t := readDestination(m.GetDestination(), at+".destination", r)
		t.Weight = millionths(100)
		if p := m.GetPercentage(); p != nil {
			readPercent(p, at+".percentage", r)
			t.Weight = millionths(p.Value)
		}
		out = append(out, t)
	}
	return slices.DeleteFunc(out, func(t RouteDestination) bool { return t.Weight == 0 })
}
