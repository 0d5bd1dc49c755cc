package egress

import (
	"cmp"
	"maps"
	"slices"
)

// findSNI returns the routes by SNI for declared TLS hosts. A name belongs to the
// first route that has it.
func (v *View) findSNI(routes map[string]hostRoutes) []SNIRoute {
	type key struct {
		port uint32
		name string
	}
	taken := map[key]bool{}
	var out []SNIRoute
	for _, name := range slices.Sorted(maps.Keys(routes)) {
		r := routes[name]
		for _, route := range r.tls {
			names := map[uint32][]string{}
			for _, m := range route.matches {
				for _, sni := range m.names {
					for _, port := range v.tlsPorts(sni) {
						k := key{port, sni}
						if owner, ok := closest(routes, sni, func(o hostRoutes) bool { return len(o.tls) > 0 }); !ok || owner.host != name || owner.meta != r.meta {
							continue // another host's routes are closer
						}
						if !taken[k] && (m.port == 0 || m.port == port) {
							taken[k] = true
							names[port] = append(names[port], sni)
						}
					}
				}
			}
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
	slices.SortStableFunc(out, func(a, b SNIRoute) int { return cmp.Compare(a.Port, b.Port) })
	return out
}
