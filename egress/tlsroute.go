package egress

import (
	"fmt"
	"slices"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
)

// readTLSRoutes reads the routes by SNI.
func readTLSRoutes(s *networkingv1alpha3.VirtualService, r reporter) []TLSRoute {
	var out []TLSRoute
	for i, t := range s.Tls {
		path := fmt.Sprintf("spec.tls[%d]", i)
		if t == nil {
			r.error(path, "", "it is missing", "write a route, or remove the item")
			continue
		}
		route := TLSRoute{Path: path, Destinations: readDestinations(t.Route, path+".route", r)}
		if len(t.Route) == 0 {
			r.error(path+".route", "", "a route leads somewhere", "add a destination")
		}
		if len(t.Match) == 0 {
			r.error(path+".match", "", "a TLS route is chosen by the name that the client asks for", "add match with sniHosts")
		}
		for j, m := range t.Match {
			route.matches = append(route.matches, readSNIMatch(m, s.Hosts, fmt.Sprintf("%s.match[%d]", path, j), r))
		}
		route.matches = slices.DeleteFunc(route.matches, func(m sniMatch) bool { return len(m.names) == 0 })
		out = append(out, route)
	}
	return out
}

func readSNIMatch(m *networkingv1alpha3.TLSMatchAttributes, hosts []string, path string, r reporter) sniMatch {
	out := sniMatch{path: path}
	if m == nil {
		r.error(path, "", "it is missing", "write a match, or remove the item")
		return out
	}
	r.unsupported(m, path, "remove it; the routes are not used with it", "sniHosts", "port", "gateways")
	out.port = m.Port
	if m.Port > 65535 {
		r.error(path+".port", fmt.Sprint(m.Port), "a port is 1 to 65535", "write a port that the ServiceEntry declares")
	}
	forSidecars := readGateways(m.Gateways, path+".gateways", r)
	if len(m.SniHosts) == 0 {
		r.error(path+".sniHosts", "", "it is missing", "write the names that clients ask for")
	}
	for i, text := range m.SniHosts {
		at := fmt.Sprintf("%s.sniHosts[%d]", path, i)
		name, fault := normalHost(text)
		within := slices.ContainsFunc(hosts, func(h string) bool {
			host, _ := normalHost(h)
			return covers(host, name)
		})
		switch {
		case fault != "":
			r.error(at, text, fault, "write a name such as www.google.com or *.example.com")
		case !within:
			r.error(at, text, "it is not among spec.hosts", "add it there, or remove it here")
		case forSidecars:
			out.names = append(out.names, name)
		}
	}
	return out
}
