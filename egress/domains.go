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
func (v *View) findDomains(routes *routeTable) []domain {
	out := make([]domain, 0, len(v.hosts))
	add := func(name string, h Host, r hostRoutes) {
		i, _ := v.number(h.Port, h.Name)
		out = append(out, domain{name, int32(i), r.http, r.meta})
	}
	ports := map[uint32]bool{}
	for _, p := range v.Ports() {
		if p.OnlyTCP() {
			continue
		}
		for _, h := range p.Hosts {
			if h.AnyAddress {
				add(h.Name, h, hostRoutes{})
			}
		}
	}
	for _, h := range v.hosts {
		if !h.Protocol.IsHTTP() {
			continue
		}
		ports[h.Port] = true
		r, ok := routes.find(h.RoutesName(), *h, hostRoutes.hasHTTP)
		if !ok {
			r = hostRoutes{}
		}
		add(h.Name, *h, r)
	}
	for _, name := range routes.hosts() {
		for port := range ports {
			h, ok := v.find(name, port)
			if !ok || h.Name == name || !h.Protocol.IsHTTP() {
				continue
			}
			if r, ok := routes.find(name, h, hostRoutes.hasHTTP); ok && r.host == name {
				add(name, h, r)
			}
		}
	}
	slices.SortFunc(out, func(a, b domain) int {
		return cmp.Or(cmp.Compare(v.hosts[a.host].Port, v.hosts[b.host].Port), cmp.Compare(a.name, b.name))
	})
	return out
}

// findMirrors returns the destinations that routes mirror requests to. Envoy
// fetches no cluster for them on demand, so sidecars always have them.
func (v *View) findMirrors() []Destination {
	all := map[string]Destination{}
	for _, d := range v.domains {
		for _, r := range d.routes {
			for _, t := range r.Mirrors {
				if to := v.MirrorDestination(t, v.domain(d)); to.Problem == nil {
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
