package egress

import (
	"fmt"
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
	var matched *matchedPaths
	for i, s := range routes {
		to := s.GetRewrite().GetUri()
		if to == "" || allElsewhere(s.Match) {
			continue
		}
		path := fmt.Sprintf("spec.http[%d].rewrite.uri", i)
		if !strings.HasPrefix(to, "/") {
			r.warn(path, to, "a path begins with \"/\"", "use /"+problem.Short(to))
			continue
		}
		if matched == nil {
			matched = matchedPathsOf(routes)
		}
		for _, prefix := range prefixesOf(s) {
			noteRewrite(prefix, to, path, matched, r)
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

func noteRewrite(prefix, to, path string, matched *matchedPaths, r reporter) {
	const fix = "match uri.prefix %s/ and uri.exact %s instead"
	bare, short := strings.TrimSuffix(prefix, "/"), problem.Short
	switch slash := strings.HasSuffix(prefix, "/"); {
	case prefix == to:
		r.add(problem.NoEffect(path, to, "it is equal to the prefix of the match", fixRemove))
	case slash && !strings.HasSuffix(to, "/"):
		r.warn(path, to, fmt.Sprintf("prefix %s ends with \"/\" and this does not: %s becomes %s", problem.Quote(prefix), short(prefix+"x"), short(to+"x")), "use "+short(to+"/"))
	case !slash && strings.HasSuffix(to, "/"):
		r.warn(path, to, fmt.Sprintf("this ends with \"/\" and prefix %s does not: %s becomes %s", problem.Quote(prefix), short(prefix+"/x"), short(to+"/x")), fmt.Sprintf(fix, short(bare), short(bare)))
	case slash && to == "/" && !matched.has(bare):
		r.warn(path, to, fmt.Sprintf("requests for %s do not match prefix %s", short(bare), problem.Quote(prefix)), "add a match of uri.exact "+short(bare))
	}
}

// matchedPaths are the paths that some route matches.
type matchedPaths struct {
	exact, prefix map[string]bool
	regex         bool // which may be any
}

func matchedPathsOf(routes []*networkingv1alpha3.HTTPRoute) *matchedPaths {
	out := &matchedPaths{exact: map[string]bool{}, prefix: map[string]bool{}}
	for _, s := range routes {
		for _, m := range s.GetMatch() {
			out.exact[m.GetUri().GetExact()] = true
			out.prefix[m.GetUri().GetPrefix()] = true
			out.regex = out.regex || m.GetUri().GetRegex() != ""
		}
	}
	return out
}

// has reports whether a path is matched, by more than the prefix "/".
func (p *matchedPaths) has(path string) bool {
	for i := 2; i <= len(path); i++ {
		if p.prefix[path[:i]] {
			return true
		}
	}
	return p.regex || p.exact[path]
}
