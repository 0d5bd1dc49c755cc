package egress

import (
	"fmt"
	"slices"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// readTLSRoutes reads the routes by SNI.
func readTLSRoutes(s *networkingv1alpha3.VirtualService, r reporter) []TLSRoute {
	var out []TLSRoute
	for i, t := range s.Tls {
		path := fmt.Sprintf("spec.tls[%d]", i)
		if t == nil {
			r.add(problem.Required(path, "specify a route, or remove the item"))
			continue
		}
		if allElsewhere(t.Match) {
			continue
		}
		route := TLSRoute{Path: path, Destinations: readDestinations(t.Route, path+".route", r)}
		if len(t.Route) == 0 {
			r.error(path+".route", "", "destination is required", "add a destination")
		}
		if len(t.Match) == 0 {
			r.error(path+".match", "", "match.sniHosts is required", "add a match with sniHosts")
		}
		for j, m := range t.Match {
			if forMesh(m.GetGateways()) {
				route.matches = append(route.matches, readSNIMatch(m, s.Hosts, fmt.Sprintf("%s.match[%d]", path, j), r))
			}
		}
		route.matches = slices.DeleteFunc(route.matches, func(m sniMatch) bool { return len(m.names) == 0 })
		out = append(out, route)
	}
	return out
}

func readSNIMatch(m *networkingv1alpha3.TLSMatchAttributes, hosts []string, path string, r reporter) sniMatch {
	out := sniMatch{path: path}
	if m == nil {
		r.add(problem.Required(path, "specify a match, or remove the item"))
		return out
	}
	out.port = m.Port
	if m.Port > 65535 {
		r.add(problem.Port(path+".port", fmt.Sprint(m.Port)).WithFix("use a port that the ServiceEntry declares"))
	}
	if len(m.SniHosts) == 0 {
		r.add(problem.Required(path+".sniHosts", "list the SNI names of clients"))
	}
	for i, text := range m.SniHosts {
		at := fmt.Sprintf("%s.sniHosts[%d]", path, i)
		name, fault := normalHost(text)
		within := slices.ContainsFunc(hosts, func(h string) bool {
			host, fault := normalHost(h)
			return covers(host, name) || fault.Rule != "" // which is reported at the host
		})
		switch {
		case fault.Rule != "":
			r.fault(fault, at, "use a name such as www.google.com or *.example.com")
		case !within:
			r.error(at, text, "must be listed in spec.hosts", "add it to spec.hosts, or remove it")
		default:
			out.names = append(out.names, name)
		}
	}
	return out
}
