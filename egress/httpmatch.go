package egress

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

func readMatch(m *networkingv1alpha3.HTTPMatchRequest, path string, r reporter) {
	if m == nil {
		r.add(problem.Required(path, "specify a match, or remove the item"))
		return
	}
	readText(m.Name, path+".name", r)
	readURI(m, path, r)
	for _, f := range []struct {
		name  string
		match *networkingv1alpha3.StringMatch
	}{{"scheme", m.Scheme}, {"method", m.Method}, {"authority", m.Authority}} {
		if f.match != nil {
			readString(f.match, path+"."+f.name, r)
		}
	}
	noteFinalDot(m.Authority, path+".authority", r)
	readAuthority(m.Authority.GetExact(), path+".authority.exact", r)
	noteMethod(m.Method, path+".method", r)
	readHeaderMatches(m.Headers, path+".headers", r)
	readHeaderMatches(m.WithoutHeaders, path+".withoutHeaders", r)
	for _, name := range slices.Sorted(maps.Keys(m.QueryParams)) {
		at := path + ".queryParams." + name
		switch {
		case name == "":
			r.error(at, "", "query parameter name is required", "specify a name")
		case len(name) > nameLimit:
			r.add(problem.TooLong(at, name, nameLimit).WithFix("use a shorter name"))
		}
		if m.QueryParams[name].GetMatchType() != nil {
			readString(m.QueryParams[name], at, r)
		}
	}
	if m.Port > 65535 {
		r.add(problem.Port(path+".port", fmt.Sprint(m.Port)).WithFix("use a port that the ServiceEntry declares"))
	}
}

func readURI(m *networkingv1alpha3.HTTPMatchRequest, path string, r reporter) {
	if m.Uri == nil {
		if m.IgnoreUriCase {
			r.add(problem.NoEffect(path+".ignoreUriCase", "", "uri is not set", "set uri, or remove it"))
		}
		return
	}
	path += ".uri"
	readString(m.Uri, path, r)
	text := m.Uri.GetExact() + m.Uri.GetPrefix()
	switch {
	case m.Uri.GetMatchType() == nil:
	case m.Uri.GetRegex() != "":
		if m.IgnoreUriCase {
			r.warn(path, m.Uri.GetRegex(), "ignoreUriCase has no effect on a regular expression", "prefix the expression with (?i)")
		}
	case !strings.HasPrefix(text, "/"):
		r.error(path, text, "path must start with \"/\"", "use /"+text)
	case strings.ContainsAny(text, "?#"):
		r.error(path, text, "query strings are not matched", "use queryParams")
	}
}

func readHeaderMatches(headers map[string]*networkingv1alpha3.StringMatch, path string, r reporter) {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		at := path + "." + name
		const ownFields = "pseudo-headers have fields of their own"
		switch lower, field := strings.ToLower(name), pseudoField(name); {
		case slices.Contains(pseudoHeaders(), name):
			r.add(problem.NoEffect(at, "", ownFields, "use the field "+name))
			continue
		case slices.Contains(pseudoHeaders(), lower):
			r.warn(at, name, "compares a header of this name, which requests do not have: "+ownFields, "use the field "+lower)
		case field != "":
			r.error(at, name, ownFields, "use the field "+field)
		case lower == ClusterHeader:
			r.error(at, name, "header is reserved by the sidecar", "use another header")
		case !validToken(name):
			r.error(at, name, "invalid header name", fixHeaderName)
		}
		if headers[name].GetMatchType() != nil { // without one the header must be present
			readString(headers[name], at, r)
		}
		if IsAuthority(name) {
			noteFinalDot(headers[name], at, r)
		}
	}
}

// noteFinalDot warns about a Host that no request has when routes are chosen.
func noteFinalDot(s *networkingv1alpha3.StringMatch, path string, r reporter) {
	if text := s.GetExact(); strings.HasSuffix(text, ".") {
		r.warn(path+".exact", text, "never matches: the final dot of a Host is removed before it is compared", "remove the dot")
	}
}

// noteDotPrefixes warns about prefixes of a Host that end with a dot, where none of the
// object's hosts has more after it.
func noteDotPrefixes(routes []*networkingv1alpha3.HTTPRoute, hosts []string, r reporter) {
	note := func(s *networkingv1alpha3.StringMatch, path string) {
		prefix := s.GetPrefix()
		if strings.HasSuffix(prefix, ".") && !slices.ContainsFunc(hosts, func(h string) bool { return strings.HasPrefix(h, "*") || strings.HasPrefix(h, strings.ToLower(prefix)) }) {
			r.warn(path+".prefix", prefix, "never matches: the final dot of a Host is removed before it is compared", "remove the dot")
		}
	}
	for i, route := range routes {
		for j, m := range route.GetMatch() {
			path := fmt.Sprintf("spec.http[%d].match[%d]", i, j)
			note(m.GetAuthority(), path+".authority")
			for _, name := range slices.Sorted(maps.Keys(m.GetHeaders())) {
				if IsAuthority(name) {
					note(m.GetHeaders()[name], path+".headers."+name)
				}
			}
		}
	}
}

// readString validates a condition on a text.
func readString(s *networkingv1alpha3.StringMatch, path string, r reporter) {
	const fix = "use exact, prefix or regex"
	switch m := s.GetMatchType().(type) {
	case nil:
		r.error(path, "", "empty match", fix)
	case *networkingv1alpha3.StringMatch_Exact:
		readText(m.Exact, path+".exact", r)
	case *networkingv1alpha3.StringMatch_Prefix:
		readText(m.Prefix, path+".prefix", r)
		if m.Prefix == "" {
			r.error(path+".prefix", "", "empty match", fix)
		}
	case *networkingv1alpha3.StringMatch_Regex:
		readRegex(m.Regex, path+".regex", r)
	}
}

// noteUnreachable warns about routes after one that matches every request.
func noteUnreachable(routes []*networkingv1alpha3.HTTPRoute, r reporter) {
	for i, s := range routes {
		if i+1 < len(routes) && takesAll(s) {
			r.warn(fmt.Sprintf("spec.http[%d]", i+1), "", fmt.Sprintf("unreachable: spec.http[%d] matches all requests", i), "move the route that matches all requests to the end")
			return
		}
	}
}

func takesAll(s *networkingv1alpha3.HTTPRoute) bool {
	return s != nil && (len(s.Match) == 0 || slices.ContainsFunc(s.Match, func(m *networkingv1alpha3.HTTPMatchRequest) bool {
		return m != nil && m.Port == 0 && MatchesEverything(m)
	}))
}

// noteMethod warns about an exact method that is another one in capitals, or close
// to one: methods are case-sensitive.
func noteMethod(m *networkingv1alpha3.StringMatch, path string, r reporter) {
	method, ok := m.GetMatchType().(*networkingv1alpha3.StringMatch_Exact)
	if !ok || slices.Contains(httpMethods(), method.Exact) {
		return
	}
	if near := document.Nearest(method.Exact, httpMethods()); near != "" || !validToken(method.Exact) {
		r.warn(path+".exact", method.Exact, "not an HTTP method", "use a method such as "+cmp.Or(near, "GET"))
	}
}
