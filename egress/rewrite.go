package egress

import (
	"fmt"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/problem"
)

func readRewrite(w *networkingv1alpha3.HTTPRewrite, path string, r reporter) {
	if w == nil {
		return
	}
	readText(w.Uri, path+".uri", r)
	readAuthority(w.Authority, path+".authority", r)
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

// noteRewrites warns about rewrites of prefixes after which a path has a slash too
// many or too few: what is after the prefix stays as it is.
func noteRewrites(routes []*networkingv1alpha3.HTTPRoute, r reporter) {
	for i, s := range routes {
		to := s.GetRewrite().GetUri()
		if to == "" || allElsewhere(s.Match) {
			continue
		}
		path := fmt.Sprintf("spec.http[%d].rewrite.uri", i)
		if !strings.HasPrefix(to, "/") {
			r.warn(path, to, "a path begins with \"/\"", "use /"+to)
			continue
		}
		for _, prefix := range prefixesOf(s) {
			noteRewrite(prefix, to, path, routes, r)
		}
	}
}

// prefixesOf are the prefixes that a rewrite of a route replaces. Without matches,
// or with one without uri, it is "/".
func prefixesOf(s *networkingv1alpha3.HTTPRoute) []string {
	if len(s.Match) == 0 {
		return []string{"/"}
	}
	var out []string
	for _, m := range s.Match {
		if m == nil || !forMesh(m.Gateways) {
			continue
		}
		if prefix := m.Uri.GetPrefix(); prefix != "" {
			out = append(out, prefix)
		} else if m.Uri == nil {
			out = append(out, "/")
		}
	}
	return out
}

func noteRewrite(prefix, to, path string, routes []*networkingv1alpha3.HTTPRoute, r reporter) {
	bare := strings.TrimSuffix(prefix, "/")
	switch slash := strings.HasSuffix(prefix, "/"); {
	case prefix == to:
		r.add(problem.NoEffect(path, to, "it is equal to the prefix of the match", fixRemove))
	case slash && !strings.HasSuffix(to, "/"):
		r.warn(path, to, fmt.Sprintf("prefix %q ends with \"/\" and this does not: %s becomes %s", prefix, problem.Short(prefix+"x"), problem.Short(to+"x")), "use "+to+"/")
	case !slash && strings.HasSuffix(to, "/"):
		r.warn(path, to, fmt.Sprintf("this ends with \"/\" and prefix %q does not: %s becomes %s", problem.Short(prefix), problem.Short(prefix+"/x"), problem.Short(to+"/x")),
			fmt.Sprintf("match uri.prefix %s/ and uri.exact %s instead", bare, bare))
	case slash && to == "/" && !matchesPath(routes, bare):
		r.warn(path, to, fmt.Sprintf("requests for %s do not match prefix %q", problem.Short(bare), problem.Short(prefix)), "add a match of uri.exact "+bare)
	}
}

// matchesPath reports whether some route has a match for a path or a prefix of it
// other than "/".
func matchesPath(routes []*networkingv1alpha3.HTTPRoute, path string) bool {
	return slices.ContainsFunc(routes, func(s *networkingv1alpha3.HTTPRoute) bool {
		return slices.ContainsFunc(s.GetMatch(), func(m *networkingv1alpha3.HTTPMatchRequest) bool {
			prefix := m.GetUri().GetPrefix()
			return m.GetUri().GetExact() == path || prefix != "" && prefix != "/" && strings.HasPrefix(path, prefix) || m.GetUri().GetRegex() != ""
		})
	})
}
