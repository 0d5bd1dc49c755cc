package egress

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

func readCORS(c *networkingv1alpha3.CorsPolicy, path string, r reporter) {
	if c == nil {
		return
	}
	readOrigins(c, path, r)
	for i, m := range c.AllowMethods {
		if m == "*" || slices.Contains(httpMethods(), m) {
			continue
		}
		fix := "use a method such as GET, or *"
		if near := document.Nearest(m, httpMethods()); near != "" {
			fix = "did you mean " + near + "?"
		}
		r.error(fmt.Sprintf("%s.allowMethods[%d]", path, i), m, "not an HTTP method", fix)
	}
	readNames(c.AllowHeaders, path+".allowHeaders", r)
	readNames(c.ExposeHeaders, path+".exposeHeaders", r)
	readTime(c.MaxAge, path+".maxAge", true, r)
	if c.MaxAge.GetNanos() > 0 && c.MaxAge.AsDuration() > 0 {
		r.error(path+".maxAge", c.MaxAge.AsDuration().String(), "must be a whole number of seconds", "use a duration such as 24h")
	}
}

// readOrigins validates the origins. They are compared with the header Origin as
// browsers send it.
func readOrigins(c *networkingv1alpha3.CorsPolicy, path string, r reporter) {
	for i, o := range c.AllowOrigins {
		at := fmt.Sprintf("%s.allowOrigins[%d]", path, i)
		readString(o, at, r)
		if exact, ok := o.GetMatchType().(*networkingv1alpha3.StringMatch_Exact); ok {
			noteOrigin(exact.Exact, at+".exact", r)
		}
	}
	for i, o := range allowOrigin(c) {
		at := fmt.Sprintf("%s.allowOrigin[%d]", path, i)
		readText(o, at, r)
		noteOrigin(o, at, r)
	}
	switch {
	case len(c.AllowOrigins) > 0 && len(allowOrigin(c)) > 0:
		r.add(problem.Conflict(path+".allowOrigin", "", "allowOrigins", "move all of them to allowOrigins"))
	case len(c.AllowOrigins)+len(allowOrigin(c)) == 0:
		r.warn(path+".allowOrigins", "", "allowOrigins is required to take effect", "list the origins, such as exact: https://www.example.com")
	}
}

// noteOrigin warns about an exact origin that no browser sends.
func noteOrigin(text, path string, r reporter) {
	const rule = "never matches: an origin is scheme://host, with :port unless it is the default, in lower case and without a path"
	u, err := url.Parse(text)
	switch {
	case text == "*" || text == "null":
	case strings.Contains(text, "*"):
		r.warn(path, text, `never matches: "*" has a meaning only alone`, "use regex, such as https://.*\\.example\\.com")
	case err != nil || u.Scheme == "" || u.Host == "":
		r.warn(path, text, rule, "use an origin such as https://www.example.com")
	case text != strings.ToLower(u.Scheme+"://"+u.Host):
		r.warn(path, text, rule, "use "+problem.Short(strings.ToLower(u.Scheme+"://"+u.Host)))
	}
}
