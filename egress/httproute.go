package egress

import (
	"fmt"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
)

func readHTTPRoute(s *networkingv1alpha3.HTTPRoute, path string, r reporter) HTTPRoute {
	out := HTTPRoute{Spec: s, Path: path}
	if s == nil {
		r.error(path, "", "it is missing", "write a route, or remove the item")
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
		r.error(path+".headers.request.set", authorityOf(s.Headers), "rewrite.authority sets the Host too", "leave one of them")
	}
	readFault(s.Fault, path+".fault", r)
	readCORS(s.CorsPolicy, path+".corsPolicy", r)
	out.Mirrors = readMirrors(s, path, r)
	return out
}

// readRouteKind holds the rules about what a route does: it leads somewhere, or
// redirects, or answers itself.
func readRouteKind(s *networkingv1alpha3.HTTPRoute, path string, r reporter) {
	kinds := 0
	for _, is := range []bool{len(s.Route) > 0, s.Redirect != nil, s.DirectResponse != nil} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		r.error(path, "", "a route has one of route, redirect and directResponse", "add the one that is meant, and no other")
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
				r.error(path+"."+field.name, "", "it has no effect on a request that leads nowhere", "remove it")
			}
		}
	}
	readRedirect(s.Redirect, path+".redirect", r)
	if d := s.DirectResponse; d != nil {
		if d.Status < 200 || d.Status > 599 {
			r.error(path+".directResponse.status", fmt.Sprint(d.Status), "a status is 200 to 599", "write a status such as 503")
		}
		switch n := len(bodyOf(d)); {
		case n > MaxDirectResponseBody:
			r.error(path+".directResponse.body", "", fmt.Sprintf("it has %d bytes; %d are the most", n, MaxDirectResponseBody), "write a shorter one")
		case n > bodyThreshold:
			r.warn(path+".directResponse.body", "", fmt.Sprintf("it has %d bytes, which go to every sidecar", n), "write a shorter one")
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
		r.error(path+".redirectCode", fmt.Sprint(d.RedirectCode), "a redirection is 301, 302, 303, 307 or 308", "write one of them")
	}
	if p, ok := d.RedirectPort.(*networkingv1alpha3.HTTPRedirect_Port); ok && (p.Port == 0 || p.Port > 65535) {
		r.error(path+".port", fmt.Sprint(p.Port), "a port is 1 to 65535", "write the port to go to")
	}
	if d.Scheme != "" && d.Scheme != "http" && d.Scheme != "https" {
		r.error(path+".scheme", d.Scheme, "a scheme is http or https", "write one of them")
	}
	if d.Uri+d.Authority+d.Scheme == "" && d.RedirectPort == nil {
		r.error(path, "", "it leads to where the request came from", "add uri, authority, port or scheme")
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
		r.error(path, "", "it rewrites nothing", "add uri, authority or uriRegexRewrite")
	case w.Uri != "" && x != nil:
		r.error(path+".uriRegexRewrite", x.Match, "uri rewrites the path too", "leave one of them")
	case x != nil:
		pattern := readRegex(x.Match, path+".uriRegexRewrite.match", r)
		readText(x.Rewrite, path+".uriRegexRewrite.rewrite", r)
		if fault := substitutionFault(x.Rewrite, pattern); fault != "" {
			r.error(path+".uriRegexRewrite.rewrite", x.Rewrite, fault, `write \1 for the first group of match, and \\ for a backslash`)
		}
	}
}

func readRetries(t *networkingv1alpha3.HTTPRetry, path string, r reporter) {
	if t == nil {
		return
	}
	if t.Attempts < 0 {
		r.error(path+".attempts", fmt.Sprint(t.Attempts), "a number of retries is 0 or more", "write 0 for none")
	}
	readTime(t.PerTryTimeout, path+".perTryTimeout", false, r)
	readTime(t.Backoff, path+".backoff", false, r)
	if t.RetryRemoteLocalities != nil {
		r.warn(path+".retryRemoteLocalities", "", "no effect: destinations have no localities", "remove it")
	}
	on, statuses, unknown := readRetryOn(t.RetryOn)
	for _, u := range unknown {
		r.error(path+".retryOn", u, "it is neither a condition nor a status", "use statuses and "+strings.Join(retryConditions(), ", "))
	}
	if t.RetryOn != "" && len(on)+len(statuses)+len(unknown) == 0 {
		r.error(path+".retryOn", t.RetryOn, "it has no condition", "remove it, or write one such as 5xx")
	}
}

func readFault(f *networkingv1alpha3.HTTPFaultInjection, path string, r reporter) {
	if f == nil {
		return
	}
	if f.Delay == nil && f.Abort == nil {
		r.error(path, "", "it has no delay and no abort", "add one of them, or remove it")
	}
	if d := f.Delay; d != nil {
		at := path + ".delay"
		r.unsupported(d, at, "use fixedDelay", "percent", "percentage", "fixedDelay")
		if d.GetFixedDelay() == nil && d.GetExponentialDelay() == nil {
			r.error(at+".fixedDelay", "", "it is missing", "write a time such as 5s")
		}
		readTime(d.GetFixedDelay(), at+".fixedDelay", false, r)
		readPercent(d.Percentage, at+".percentage", r)
		if p := delayPercent(d); p < 0 || p > 100 {
			r.error(at+".percent", fmt.Sprint(p), "a percentage is 0 to 100", "use percentage.value")
		}
		if d.Percentage == nil && delayPercent(d) == 0 {
			r.warn(at+".percentage", "", "no request is delayed without it", "write percentage.value, such as 100")
		}
	}
	if a := f.Abort; a != nil {
		at := path + ".abort"
		r.unsupported(a, at, "use httpStatus or grpcStatus", "httpStatus", "grpcStatus", "percentage")
		switch e := a.ErrorType.(type) {
		case *networkingv1alpha3.HTTPFaultInjection_Abort_HttpStatus:
			if e.HttpStatus < 200 || e.HttpStatus > 599 {
				r.error(at+".httpStatus", fmt.Sprint(e.HttpStatus), "a status is 200 to 599", "write a status such as 503")
			}
		case *networkingv1alpha3.HTTPFaultInjection_Abort_GrpcStatus:
			if _, ok := grpcStatus(e.GrpcStatus); !ok {
				r.error(at+".grpcStatus", e.GrpcStatus, "it is not a status of gRPC", "write one such as UNAVAILABLE")
			}
		case nil:
			r.error(at+".httpStatus", "", "it is missing", "write a status such as 503")
		}
		readPercent(a.Percentage, at+".percentage", r)
		if a.Percentage == nil {
			r.warn(at+".percentage", "", "no request is aborted without it", "write percentage.value, such as 100")
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
			r.error(path+".mirrorPercent", fmt.Sprint(whole), "a percentage is 0 to 100", "use mirrorPercentage.value")
		}
		switch {
		case s.MirrorPercentage != nil:
			t.Weight = millionths(s.MirrorPercentage.Value)
		case given:
			t.Weight = millionths(float64(whole))
		}
		out = append(out, t)
	} else if s.MirrorPercentage != nil || given {
		r.warn(path+".mirrorPercentage", "", "no effect without mirror", "add mirror, or remove it")
	}
	if s.Mirror != nil && len(s.Mirrors) > 0 {
		r.error(path+".mirrors", "", "mirror is there too", "write all of them in mirrors")
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
		r.error(path+".allowOrigin", "", "allowOrigins is there too", "write all of them in allowOrigins")
	}
	for i, m := range c.AllowMethods {
		if m != "*" && !validToken(m) {
			r.error(fmt.Sprintf("%s.allowMethods[%d]", path, i), m, "it is not a method", "write one such as GET")
		}
	}
	readNames(c.AllowHeaders, path+".allowHeaders", r)
	readNames(c.ExposeHeaders, path+".exposeHeaders", r)
	readTime(c.MaxAge, path+".maxAge", true, r)
}
