package egress

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
)

// decideHTTP decides by the Host, and then by the routes for it.
func (v *View) decideHTTP(p Port, r Request) Decision {
	domains := map[string]Domain{}
	names := map[string]bool{}
	for _, d := range v.domains {
		if d.Host.Port == p.Number {
			domains[d.Name], names[d.Name] = d, true
		}
	}
	name := hostOf(r.Authority)
	found, ok := closestName(names, name)
	if !ok {
		return v.restHTTP(r)
	}
	d := domains[found]
	declared := fmt.Sprintf("ServiceEntry %s/%s declares %s", d.Host.Meta.Namespace, d.Host.Meta.Name, d.Host.Name)
	if v.ResolvedByHost(d) && !hostPortAllowed(d.Host, r.Authority) {
		return Decision{Kind: Answered, Status: http502, Route: routeBlockPort, Reason: declared + fmt.Sprintf(" on port %d, and the Host %s has another port", d.Host.Port, r.Authority)}
	}
	if len(d.Routes) == 0 {
		l := Destination{Host: d.Host}
		return Decision{
			Kind: Passed, Clusters: []WeightedCluster{l.weighted(RouteDestination{Weight: 1}, name)}, Route: routeDefault,
			Authority: r.Authority, Path: normalPath(r.Path), Reason: declared + ", and no VirtualService says more",
		}
	}
	for _, rule := range d.Routes {
		matches, _ := matchesOn(rule.Spec, d.Host.Port)
		for i, m := range matches {
			if !matchRequest(m, r) {
				continue
			}
			out := v.follow(rule, m, d, r)
			out.Reason = fmt.Sprintf("%s; %s of VirtualService %s/%s takes the request", declared, rule.Path, d.By.Namespace, d.By.Name) + orAs(i, rule) + out.Reason
			return out
		}
	}
	return Decision{Kind: Answered, Status: 404, Reason: declared + fmt.Sprintf(", and no route of VirtualService %s/%s takes the request", d.By.Namespace, d.By.Name)}
}

func orAs(i int, rule HTTPRoute) string {
	if len(rule.Spec.Match) < 2 {
		return ""
	}
	return fmt.Sprintf(" by its match %d", i+1)
}

// hostPortAllowed is the rule about a Host that is resolved as it is.
func hostPortAllowed(h Host, authority string) bool {
	_, port, has := strings.Cut(authority, ":")
	return !has || h.TargetPort == h.Port && port == fmt.Sprint(h.Port)
}

// follow says what a route does with a request that it takes.
func (v *View) follow(rule HTTPRoute, m *networkingv1alpha3.HTTPMatchRequest, d Domain, r Request) Decision {
	s := rule.Spec
	out := Decision{Kind: Answered, Route: routeName(s, m)}
	leadsOn := s.Redirect == nil && s.DirectResponse == nil
	switch status, aborted := abortStatus(s.Fault); {
	case leadsOn && isPreflight(s.CorsPolicy, r):
		out.Status, out.Reason = 200, "; it asks what its CORS policy allows"
	case aborted:
		out.Status, out.Reason = status, "; its fault aborts all requests"
	case s.Redirect != nil:
		out.Status, out.Location = redirectCode(s.Redirect), location(s.Redirect, d.Host.Port, r)
	case s.DirectResponse != nil:
		out.Status = int(s.DirectResponse.Status)
	default:
		v.pass(&out, rule, m, d, r)
	}
	return out
}

// pass leads a request to the destinations of its route.
func (v *View) pass(out *Decision, rule HTTPRoute, m *networkingv1alpha3.HTTPMatchRequest, d Domain, r Request) {
	s, name := rule.Spec, hostOf(r.Authority)
	out.Kind, out.Timeout = Passed, s.Timeout.AsDuration()
	for _, t := range rule.Destinations {
		if t.Weight == 0 {
			continue
		}
		l := v.routeDestination(rule, t, d)
		out.Clusters = append(out.Clusters, l.weighted(t, name))
		if l.Fault != "" {
			out.Reason += "; " + l.Fault
		}
	}
	if !slices.ContainsFunc(out.Clusters, func(s WeightedCluster) bool { return s.Cluster != BlackHoleCluster }) {
		out.Kind, out.Status = Answered, 503
		return
	}
	for _, t := range rule.Mirrors {
		if l := v.destination(t, d, true); l.Fault == "" {
			share := l.weighted(t, name)
			share.Cluster = l.MirrorClusterName()
			out.Mirrors = append(out.Mirrors, share)
		}
	}
	out.Authority, out.Path = r.Authority, rewritePath(s, m, normalPath(r.Path))
	if host := routeAuthority(s); host != "" {
		out.Authority = host
	}
	if share := delayMillionths(s.GetFault().GetDelay()); share > 0 {
		out.Reason += fmt.Sprintf("; %g%% of the requests are delayed by %s", float64(share)/1e4, s.Fault.Delay.GetFixedDelay().AsDuration())
	}
	if p := s.GetFault().GetAbort().GetPercentage().GetValue(); p > 0 {
		out.Reason += fmt.Sprintf("; %g%% of the requests are aborted", p)
	}
}

// abortStatus is what all requests are answered; ok is false where not all are.
func abortStatus(f *networkingv1alpha3.HTTPFaultInjection) (status int, ok bool) {
	a := f.GetAbort()
	if a.GetPercentage().GetValue() < 100 {
		return 0, false
	}
	if a.GetGrpcStatus() != "" {
		return 200, true // the status of gRPC is in a header
	}
	return int(a.GetHttpStatus()), true
}

func isPreflight(c *networkingv1alpha3.CorsPolicy, r Request) bool {
	origin, has := headerOf(r, "origin")
	_, asks := headerOf(r, "access-control-request-method")
	if c == nil || r.Method != "OPTIONS" || !has || !asks || origin == "" {
		return false
	}
	if c.UnmatchedPreflights == networkingv1alpha3.CorsPolicy_IGNORE {
		return true
	}
	for _, o := range c.AllowOrigins {
		if matchText(o, origin) || o.GetExact() == "*" {
			return true
		}
	}
	return slices.Contains(allowOrigin(c), origin) || slices.Contains(allowOrigin(c), "*")
}

// matchRequest reports whether a match takes a request.
func matchRequest(m *networkingv1alpha3.HTTPMatchRequest, r Request) bool {
	path, query, _ := strings.Cut(normalPath(r.Path), "?")
	if m.Uri != nil && !matchPath(m, path) {
		return false
	}
	for _, pseudo := range []struct {
		match *networkingv1alpha3.StringMatch
		value string
	}{{m.Method, r.Method}, {m.Authority, r.Authority}, {m.Scheme, "http"}} {
		if pseudo.match != nil && !matchText(pseudo.match, pseudo.value) {
			return false
		}
	}
	for _, name := range headerNames(m.Headers) {
		value, has := headerOf(r, name)
		if !has || m.Headers[name].GetMatchType() != nil && !matchText(m.Headers[name], value) {
			return false
		}
	}
	for _, name := range headerNames(m.WithoutHeaders) {
		value, has := headerOf(r, name)
		condition := m.WithoutHeaders[name]
		if condition.GetMatchType() == nil && has || condition.GetMatchType() != nil && matchText(condition, value) {
			return false
		}
	}
	for name, condition := range m.QueryParams {
		value, has := parameter(query, name)
		if !has || condition.GetMatchType() != nil && !matchText(condition, value) {
			return false
		}
	}
	return true
}

func matchPath(m *networkingv1alpha3.HTTPMatchRequest, path string) bool {
	if m.IgnoreUriCase {
		switch u := m.Uri.GetMatchType().(type) {
		case *networkingv1alpha3.StringMatch_Exact:
			return strings.EqualFold(u.Exact, path)
		case *networkingv1alpha3.StringMatch_Prefix:
			return len(path) >= len(u.Prefix) && strings.EqualFold(u.Prefix, path[:len(u.Prefix)])
		}
	}
	return matchText(m.Uri, path)
}

func matchText(s *networkingv1alpha3.StringMatch, text string) bool {
	switch c := s.GetMatchType().(type) {
	case *networkingv1alpha3.StringMatch_Exact:
		return text == c.Exact
	case *networkingv1alpha3.StringMatch_Prefix:
		return strings.HasPrefix(text, c.Prefix)
	case *networkingv1alpha3.StringMatch_Regex:
		re := fullMatch(c.Regex)
		return re != nil && re.MatchString(text)
	}
	return true
}

// headerOf is a header's values, joined as they are compared.
func headerOf(r Request, name string) (string, bool) {
	var all []string
	for n, values := range r.Header {
		if strings.EqualFold(n, name) {
			all = append(all, values...)
		}
	}
	return strings.Join(all, ","), len(all) > 0
}

// parameter is the first value of a query's parameter, as it is written.
func parameter(query, name string) (string, bool) {
	for part := range strings.SplitSeq(query, "&") {
		if n, value, _ := strings.Cut(part, "="); n == name {
			return value, true
		}
	}
	return "", false
}

// normalPath resolves the dots in a path, as the sidecar does before it compares
// and sends it.
func normalPath(text string) string {
	path, query, has := strings.Cut(text, "?")
	var out []string
	parts := strings.Split(strings.ReplaceAll(path, `\`, "/"), "/")
	for i, part := range parts {
		switch strings.ReplaceAll(strings.ToLower(part), "%2e", ".") {
		case ".":
			if i == len(parts)-1 {
				out = append(out, "")
			}
		case "..":
			if len(out) > 1 {
				out = out[:len(out)-1]
			}
			if i == len(parts)-1 {
				out = append(out, "")
			}
		default:
			out = append(out, part)
		}
	}
	path = strings.Join(out, "/")
	if has {
		path += "?" + query
	}
	return path
}

// rewritePath is the path that the destination gets.
func rewritePath(s *networkingv1alpha3.HTTPRoute, m *networkingv1alpha3.HTTPMatchRequest, text string) string {
	path, query, has := strings.Cut(text, "?")
	switch w := s.Rewrite; {
	case w.GetUri() != "":
		taken := len(path)
		if prefix := m.GetUri().GetPrefix(); prefix != "" {
			taken = len(prefix)
		} else if m.GetUri() == nil {
			taken = len("/")
		}
		path = w.Uri + path[taken:]
	case w.GetUriRegexRewrite() != nil:
		if re, err := regexp.Compile(w.UriRegexRewrite.Match); err == nil {
			path = re.ReplaceAllString(path, goTemplate(w.UriRegexRewrite.Rewrite))
		}
	}
	if has {
		path += "?" + query
	}
	return path
}

// goTemplate turns \1 into ${1}.
func goTemplate(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '$':
			b.WriteString("$$")
		case text[i] != '\\' || i+1 == len(text):
			b.WriteByte(text[i])
		case text[i+1] == '\\':
			i++
			b.WriteByte('\\')
		default:
			i++
			fmt.Fprintf(&b, "${%c}", text[i])
		}
	}
	return b.String()
}

func redirectCode(s *networkingv1alpha3.HTTPRedirect) int {
	if s.RedirectCode == 0 {
		return 301
	}
	return int(s.RedirectCode)
}

// location is where a redirection sends the client.
func location(s *networkingv1alpha3.HTTPRedirect, listener uint32, r Request) string {
	scheme, host, port, path := "http", r.Authority, "", normalPath(r.Path)
	if s.Scheme != "" {
		scheme = s.Scheme
	}
	switch p := s.RedirectPort.(type) {
	case *networkingv1alpha3.HTTPRedirect_Port:
		port = fmt.Sprintf(":%d", p.Port)
	case *networkingv1alpha3.HTTPRedirect_DerivePort:
		if p.DerivePort == networkingv1alpha3.HTTPRedirect_FROM_REQUEST_PORT {
			port = fmt.Sprintf(":%d", listener)
		}
	}
	name, own, has := strings.Cut(host, ":")
	if has && (port != "" || scheme == "https" && own == "80") {
		host = name
	}
	if s.Authority != "" {
		host = s.Authority
	}
	if s.Uri != "" {
		_, query, has := strings.Cut(path, "?")
		path = s.Uri
		if has && !strings.Contains(path, "?") {
			path += "?" + query
		}
	}
	return scheme + "://" + host + port + path
}
