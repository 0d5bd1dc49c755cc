package egress

import (
	"fmt"
	"slices"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// readVirtualService reads an object. With one error none of its routes is
// used: a part of the routes could send requests to unintended destinations.
func readVirtualService(v VirtualService, mesh *Mesh, r reporter) []hostRoutes {
	s := v.Spec
	if s == nil {
		r.add(problem.Required("spec", "add hosts and http"))
		return nil
	}
	before := len(*r.all)
	if !readGateways(s, r) || isDelegate(s, r) {
		return nil
	}
	exports, exported := readExports(s.ExportTo, mesh.routeExports, v.Meta, r)
	r.fields(s, "spec")
	names := readRouteHosts(s, r)
	http := make([]HTTPRoute, 0, len(s.Http))
	for i, route := range s.Http {
		http = append(http, readHTTPRoute(route, fmt.Sprintf("spec.http[%d]", i), r))
	}
	noteUnreachable(s.Http, r)
	noteRewrites(s.Http, r)
	noteDotPrefixes(s.Http, names, r)
	tls := readTLSRoutes(s, r)
	if len(s.Http)+len(s.Tls)+len(s.Tcp) == 0 {
		r.error("spec.http", "", "http, tcp or tls must be provided in virtual service", "add http or tls routes")
	}
	if r.hasErrors(before) || !exported {
		return nil
	}
	var out []hostRoutes
	for i, name := range names {
		if name != "" {
			out = append(out, hostRoutes{
				meta: v.Meta, exports: exports, host: name, path: fmt.Sprintf("spec.hosts[%d]", i), http: http, tls: tls,
			})
		}
	}
	return out
}

// isDelegate reports whether an object has routes without hosts, for another one
// to refer to. Its warning is the only one.
func isDelegate(s *networkingv1alpha3.VirtualService, r reporter) bool {
	if len(s.Hosts) > 0 || len(s.Http) == 0 || len(s.Tls)+len(s.Tcp) > 0 {
		return false
	}
	r.warn("spec.hosts", "", "virtual service must have at least one host to apply to sidecars: without one it is a delegate, and delegates are not supported", "use the host of a ServiceEntry")
	return true
}

// readRouteHosts returns the normalized hosts, each once, with an empty one in
// place of each that is invalid or a duplicate.
func readRouteHosts(s *networkingv1alpha3.VirtualService, r reporter) []string {
	if len(s.Hosts) == 0 {
		r.error("spec.hosts", "", "virtual service must have at least one host", "use the host of a ServiceEntry")
	}
	names := make([]string, len(s.Hosts))
	for i, text := range s.Hosts {
		path := fmt.Sprintf("spec.hosts[%d]", i)
		name, fault := normalHost(text)
		switch {
		case fault.Rule != "":
			r.fault(fault, path, "use the host of a ServiceEntry")
		case slices.Contains(names[:i], name):
			r.add(problem.Duplicate(path, text, "host").AsWarning())
		default:
			names[i] = name
		}
	}
	return names
}
