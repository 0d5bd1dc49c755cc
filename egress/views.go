package egress

import "slices"

// View returns the view of a namespace.
func (m *Model) View(namespace string) *View {
	v := &View{mesh: m.mesh, inCluster: m.inClusterOf(namespace), byCluster: map[string]int{}, byName: map[string][]uint32{}}
	c := newClaims(namespace, m.mesh.rootNamespace, len(m.hosts))
	for _, h := range ranked(m.hosts, c.rank, func(h *Host) (Meta, exports) { return h.Meta, h.exports }, namespace) {
		if c.add(&h) {
			v.hosts = append(v.hosts, h)
		}
	}
	shared := c.shared(v.hosts)
	if len(shared) > 0 {
		v.hosts = slices.DeleteFunc(v.hosts, func(h Host) bool { return len(h.Endpoints) > 0 && shared[hostKey{h.Port, h.Name}] })
	}
	if m.manyPorts {
		v.hosts = withinPorts(v.hosts, m.limits.ViewPorts, c.rank)
	}
	taken := owners{}
	for i := range v.hosts {
		taken.assign(&v.hosts[i])
	}
	slices.SortFunc(v.hosts, compareHosts)
	for i, h := range v.hosts {
		v.byCluster[h.ClusterName()] = i
		v.byName[h.Name] = append(v.byName[h.Name], h.Port)
	}
	routes := newRouteTable(shared)
	for _, r := range ranked(m.routes, c.rank, func(r *hostRoutes) (Meta, exports) { return r.meta, r.exports }, namespace) {
		routes.add(r, c.rank(r.meta) < rankOther)
	}
	v.domains = v.findDomains(routes)
	v.sni = v.findSNI(routes)
	v.mirrors = v.findMirrors()
	v.version = v.hash()
	return v
}

// ranked are the objects visible to a namespace, in the order of precedence.
func ranked[T any](in []T, rank func(Meta) int, of func(*T) (Meta, exports), namespace string) []T {
	out := make([]T, 0, len(in))
	for r := rankOwn; r <= rankOther; r++ {
		for i := range in {
			if meta, e := of(&in[i]); rank(meta) == r && e.to(namespace) {
				out = append(out, in[i])
			}
		}
	}
	return out
}
