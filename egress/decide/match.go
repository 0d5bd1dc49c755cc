package decide

import (
	"regexp"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
)

// matchOf is the first match of a route that is true for a request on a port,
// with its number; a route without matches is true for all requests.
func matchOf(s *networkingv1alpha3.HTTPRoute, port uint32, r Request) (m *networkingv1alpha3.HTTPMatchRequest, number int, ok bool) {
	if len(s.Match) == 0 {
		return nil, 0, true
	}
	for i, m := range s.Match {
		sidecars := len(m.Gateways) == 0 || slices.Contains(m.Gateways, "mesh")
		if sidecars && (m.Port == 0 || m.Port == port) && matchRequest(m, r) {
			return m, i + 1, true
		}
	}
	return nil, 0, false
}

// matchRequest reports whether the conditions of a match are true for a request.
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
	for name, condition := range m.Headers {
		value, has := headerOf(r, name)
		if !ignored(name) && (!has || condition.GetMatchType() != nil && !matchText(condition, value)) {
			return false
		}
	}
	for name, condition := range m.WithoutHeaders {
		value, has := headerOf(r, name)
		excluded := has
		if condition.GetMatchType() != nil {
			excluded = matchText(condition, value)
		}
		if !ignored(name) && excluded {
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

// ignored reports whether a header has the name of a field of the match: it is not
// compared, as in Istio.
func ignored(header string) bool {
	return slices.Contains([]string{"uri", "scheme", "method", "authority"}, header)
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
		re, err := regexp.Compile(`\A(?:` + latin1(c.Regex) + `)\z`)
		return err == nil && re.MatchString(latin1(text))
	}
	return true
}

// latin1 turns each byte of a text into a character, as Envoy's expressions do.
func latin1(text string) string {
	runes := make([]rune, len(text))
	for i := range runes {
		runes[i] = rune(text[i])
	}
	return string(runes)
}

// fromLatin1 turns each character into a byte.
func fromLatin1(text string) string {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		out = append(out, byte(r))
	}
	return string(out)
}
