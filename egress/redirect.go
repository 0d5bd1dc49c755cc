package egress

import (
	"fmt"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/problem"
)

func redirectCodes() []uint32 { return []uint32{301, 302, 303, 307, 308} }

func readRedirect(d *networkingv1alpha3.HTTPRedirect, path string, r reporter) {
	if d == nil {
		return
	}
	readText(d.Uri, path+".uri", r)
	if d.Uri != "" && !strings.HasPrefix(d.Uri, "/") {
		r.warn(path+".uri", d.Uri, "a path begins with \"/\"", "use a path such as /new, with the host in authority and the scheme in scheme")
	}
	readAuthority(d.Authority, path+".authority", r)
	if d.RedirectCode != 0 && !slices.Contains(redirectCodes(), d.RedirectCode) {
		r.error(path+".redirectCode", fmt.Sprint(d.RedirectCode), "redirectCode must be one of 301, 302, 303, 307, 308", "use one of them")
	}
	if p, ok := d.RedirectPort.(*networkingv1alpha3.HTTPRedirect_Port); ok && (p.Port == 0 || p.Port > 65535) {
		r.add(problem.Port(path+".port", fmt.Sprint(p.Port)).WithFix("use the target's port"))
	}
	if d.Scheme != "" && d.Scheme != "http" && d.Scheme != "https" {
		r.add(problem.NotSupported(path+".scheme", d.Scheme, "http", "https").WithFix("use one of them"))
	}
	if d.Uri+d.Authority+d.Scheme+d.PrefixRewrite == "" && d.RedirectPort == nil { // prefixRewrite is reported as not supported
		r.error(path, "", "redirect has no target", "set uri, authority, port or scheme")
	}
}
