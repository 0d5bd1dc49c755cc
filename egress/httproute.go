package egress

import (
	"fmt"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/problem"
)

func readHTTPRoute(s *networkingv1alpha3.HTTPRoute, path string, r reporter) HTTPRoute {
	out := HTTPRoute{Spec: s, Path: path}
	if s == nil {
		r.add(problem.Required(path, "specify a route, or remove the item"))
		return out
	}
	r.unsupported(s, path, "remove it; the routes are not used with it", "name", "match", "route", "redirect", "directResponse",
		"rewrite", "timeout", "retries", "fault", "mirror", "mirrors", "mirrorPercent", "mirrorPercentage", "corsPolicy", "headers")
	readText(s.Name, path+".name", r)
	for i, m := range s.Match {
		readMatch(m, fmt.Sprintf("%s.match[%d]", path, i), r)
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
	readRetries(s.Retries, path+".retries", r)
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
	if kinds != 1 {
		r.error(path, "", "exactly one of route, redirect or directResponse must be set", "set one of them, and remove the others")
	}
	if s.Redirect != nil || s.DirectResponse != nil {
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

func redirectCodes() []uint32 { return []uint32{301, 302, 303, 307, 308} }

func readRedirect(d *networkingv1alpha3.HTTPRedirect, path string, r reporter) {
	if d == nil {
		return
	}
	r.unsupported(d, path, "use uri", "uri", "authority", "port", "derivePort", "scheme", "redirectCode")
	readText(d.Uri, path+".uri", r)
	readText(d.Authority, path+".authority", r)
	if d.RedirectCode != 0 && !slices.Contains(redirectCodes(), d.RedirectCode) {
		r.error(path+".redirectCode", fmt.Sprint(d.RedirectCode), "redirectCode must be one of 301, 302, 303, 307, 308", "use one of them")
	}
	if p, ok := d.RedirectPort.(*networkingv1alpha3.HTTPRedirect_Port); ok && (p.Port == 0 || p.Port > 65535) {
		r.add(problem.Port(path+".port", fmt.Sprint(p.Port)).WithFix("use the target's port"))
	}
	if d.Scheme != "" && d.Scheme != "http" && d.Scheme != "https" {
		r.add(problem.NotSupported(path+".scheme", d.Scheme, "http", "https").WithFix("use one of them"))
	}
	if d.Uri+d.Authority+d.Scheme == "" && d.RedirectPort == nil {
		r.error(path, "", "redirect has no target", "set uri, authority, port or scheme")
	}
}

func readRewrite(w *networkingv1alpha3.HTTPRewrite, path string, r reporter) {
	if w == nil {
		return
	}
	readText(w.Uri, path+".uri", r)
	readText(w.Authority, path+".authority", r)
	x := w.UriRegexRewrite
	switch {
	case w.Uri == "" && w.Authority == "" && x == nil:
		r.error(path, "", "empty rewrite", "set uri, authority or uriRegexRewrite")
	case w.Uri != "" && x != nil:
		r.add(problem.Conflict(path+".uriRegexRewrite", x.Match, "uri", "set one of them"))
	case x != nil:
		pattern := readRegex(x.Match, path+".uriRegexRewrite.match", r)
		readText(x.Rewrite, path+".uriRegexRewrite.rewrite", r)
		if fault := substitutionFault(x.Rewrite, pattern); fault != "" {
			r.error(path+".uriRegexRewrite.rewrite", x.Rewrite, fault, `use \1 for the first capture group of match, and \\ for a backslash`)
		}
	}
}

func readRetries(t *networkingv1alpha3.HTTPRetry, path string, r reporter) {
	if t == nil {
		return
	}
	if t.Attempts < 0 {
		r.add(problem.Negative(path+".attempts", fmt.Sprint(t.Attempts)).WithFix("use 0 to disable retries"))
	}
	readTime(t.PerTryTimeout, path+".perTryTimeout", false, r)
	readTime(t.Backoff, path+".backoff", false, r)
	if t.RetryRemoteLocalities != nil {
		r.add(problem.NoEffect(path+".retryRemoteLocalities", "", "locality retry is not supported", "remove it"))
	}
	on, statuses, unknown := readRetryOn(t.RetryOn)
	for _, u := range unknown {
		r.error(path+".retryOn", u, "unknown retryOn condition", "use HTTP statuses and "+strings.Join(retryConditions(), ", "))
	}
	if t.RetryOn != "" && len(on)+len(statuses)+len(unknown) == 0 {
		r.error(path+".retryOn", t.RetryOn, "no condition", "remove it, or use a condition such as 5xx")
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
		r.unsupported(d, at, "use fixedDelay", "percent", "percentage", "fixedDelay")
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
		r.unsupported(a, at, "use httpStatus or grpcStatus", "httpStatus", "grpcStatus", "percentage")
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

func readCORS(c *networkingv1alpha3.CorsPolicy, path string, r reporter) {
	if c == nil {
		return
	}
	for i, o := range c.AllowOrigins {
		readString(o, fmt.Sprintf("%s.allowOrigins[%d]", path, i), r)
	}
	for i, o := range allowOrigin(c) {
		readText(o, fmt.Sprintf("%s.allowOrigin[%d]", path, i), r)
	}
	if len(c.AllowOrigins) > 0 && len(allowOrigin(c)) > 0 {
		r.add(problem.Conflict(path+".allowOrigin", "", "allowOrigins", "move all of them to allowOrigins"))
	}
	for i, m := range c.AllowMethods {
		if m != "*" && !validToken(m) {
			r.error(fmt.Sprintf("%s.allowMethods[%d]", path, i), m, "invalid HTTP method", "use a method such as GET")
		}
	}
	readNames(c.AllowHeaders, path+".allowHeaders", r)
	readNames(c.ExposeHeaders, path+".exposeHeaders", r)
	readTime(c.MaxAge, path+".maxAge", true, r)
}
