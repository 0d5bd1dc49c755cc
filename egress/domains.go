package egress

import (
	"cmp"
	"maps"
	"slices"
)

// findDomains returns every host that is matched by Host: every declared HTTP host, with the routes of the
// VirtualService whose host matches it most closely, and every name that a
// VirtualService has under a declared wildcard, and every TCP host without
// addresses on a port that is not for TCP alone.
func (v *View) findDomains(routes *routeTable) []Domain {
	var out []Domain
	ports := map[uint32]bool{}
	for _, p := range v.Ports() {
		if p.OnlyTCP() {
			continue
		}
		for _, h := range p.Hosts {
			if h.AnyAddress {
				out = append(out, Domain{Name: h.Name, Host: h})
			}
		}
	}
	for _, h := range v.hosts {
		if !h.Protocol.IsHTTP() {
			continue
		}
		ports[h.Port] = true
		d := Domain{Name: h.Name, Host: h}
		if r, ok := routes.find(h.RoutesName(), h, hostRoutes.hasHTTP); ok {
			d.Routes, d.By = r.http, r.meta
		}
		out = append(out, d)
	}
	for _, name := range routes.hosts() {
		for port := range ports {
			h, ok := v.find(name, port)
			if !ok || h.Name == name || !h.Protocol.IsHTTP() {
				continue
			}
			if r, ok := routes.find(name, h, hostRoutes.hasHTTP); ok && r.host == name {
				out = append(out, Domain{Name: name, Host: h, Routes: r.http, By: r.meta})
			}
		}
	}
	slices.SortFunc(out, func(a, b Domain) int {
		return cmp.Or(cmp.Compare(a.Host.Port, b.Host.Port), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// findMirrors returns the destinations that routes mirror requests to. Envoy
// fetches no cluster for them on demand, so sidecars always have them.
func (v *View) findMirrors() []Destination {
	all := map[string]Destination{}
	for _, d := range v.domains {
		for _, r := range d.Routes {
			for _, t := range r.Mirrors {
				if to := v.MirrorDestination(t, d); to.Problem == nil {
					all[to.MirrorClusterName()] = to
				}
			}
		}
	}
	out := make([]Destination, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, all[name])
	}
	return out
}
