package decide

import (
	"fmt"
	"regexp"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
)

// abortStatus is the response to all requests; ok is false where not all are
// aborted.
func abortStatus(f *networkingv1alpha3.HTTPFaultInjection) (status int, ok bool) {
	a := f.GetAbort()
	if a.GetPercentage().GetValue() < 100 {
		return 0, false
	}
	if a.GetGrpcStatus() != "" {
		return 200, true // the gRPC status is in a header
	}
	return int(a.GetHttpStatus()), true
}

// isPreflight reports whether the CORS policy of a route answers a request.
func isPreflight(route egress.HTTPRoute, r Request) bool {
	c := route.Spec.CorsPolicy
	origin, has := headerOf(r, "origin")
	_, asks := headerOf(r, "access-control-request-method")
	if c == nil || r.Method != "OPTIONS" || !has || !asks || origin == "" {
		return false
	}
	if c.UnmatchedPreflights == networkingv1alpha3.CorsPolicy_IGNORE {
		return true
	}
	for _, o := range route.AllowedOrigins() {
		if matchText(o, origin) || o.GetExact() == "*" {
			return true
		}
	}
	return false
}

// rewritePath is the path that the destination receives.
func rewritePath(s *networkingv1alpha3.HTTPRoute, m *networkingv1alpha3.HTTPMatchRequest, text string) string {
	path, query, has := strings.Cut(text, "?")
	switch w := s.Rewrite; {
	case w.GetUri() != "":
		replaced := len(path)
		if prefix := m.GetUri().GetPrefix(); prefix != "" {
			replaced = len(prefix)
		} else if m.GetUri() == nil {
			replaced = len("/")
		}
		path = w.Uri + path[replaced:]
	case w.GetUriRegexRewrite() != nil:
		if re, err := regexp.Compile(latin1(w.UriRegexRewrite.Match)); err == nil {
			path = fromLatin1(re.ReplaceAllString(latin1(path), goTemplate(latin1(w.UriRegexRewrite.Rewrite))))
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

// location is where a redirect sends the client.
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
