package egress

import (
	"cmp"
	"maps"
	"slices"
)

// findSNI returns the routes by SNI for declared TLS hosts. A name belongs to the
// first route that has it.
func (v *View) findSNI(routes *routeTable) []SNIRoute {
	taken := map[hostKey]bool{}
	var out []SNIRoute
	for _, name := range routes.hosts() {
		for _, r := range routes.of(name) {
			for _, route := range r.tls {
				names := v.sniNames(r, route, routes, taken)
				for _, port := range slices.Sorted(maps.Keys(names)) {
					// The same route, for another host of the object.
					i := slices.IndexFunc(out, func(s SNIRoute) bool { return s.Port == port && s.By == r.meta && s.Route.Path == route.Path })
					if i < 0 {
						i = len(out)
						out = append(out, SNIRoute{Port: port, Route: route, By: r.meta})
					}
					out[i].Names = append(out[i].Names, names[port]...)
					slices.Sort(out[i].Names)
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b SNIRoute) int { return cmp.Compare(a.Port, b.Port) })
	return out
}

// sniNames are the names that a route has, by port, without those that are taken and
// those that the routes of another object or host apply to.
func (v *View) sniNames(r hostRoutes, route TLSRoute, routes *routeTable, taken map[hostKey]bool) map[uint32][]string {
	names := map[uint32][]string{}
	for _, m := range route.matches {
		for _, sni := range m.names {
			for _, port := range v.tlsPorts(sni) {
				h, _ := v.find(sni, port)
				owner, ok := routes.find(sni, h, hostRoutes.hasTLS)
				if !ok || owner.host != r.host || owner.meta != r.meta {
					continue
				}
				if k := (hostKey{port, sni}); !taken[k] && (m.port == 0 || m.port == port) {
					taken[k] = true
					names[port] = append(names[port], sni)
				}
			}
		}
	}
	return names
}
