package egress

import (
	"cmp"
	"slices"
)

// View returns the view of a namespace.
func (m *Model) View(namespace string) *View {
	v := &View{mesh: m.mesh, inCluster: m.inCluster, byCluster: map[string]int{}, byName: map[string][]uint32{}}
	rank := func(meta Meta) int {
		switch meta.Namespace {
		case namespace:
			return 0
		case m.mesh.rootNamespace:
			return 1
		}
		return 2
	}
	seen := map[string]bool{}
	for _, h := range ranked(m.hosts, namespace, rank, func(h Host) (Meta, exports) { return h.Meta, h.exports }) {
		if name := h.ClusterName(); !seen[name] {
			seen[name] = true
			v.hosts = append(v.hosts, h)
		}
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
	routes := map[string]hostRoutes{}
	for _, r := range ranked(m.routes, namespace, rank, func(r hostRoutes) (Meta, exports) { return r.meta, r.exports }) {
		if _, twice := routes[r.host]; !twice {
			routes[r.host] = r
		}
	}
	v.domains = v.findDomains(routes)
	v.sni = v.findSNI(routes)
	v.mirrors = v.findMirrors()
	v.version = v.hash()
	return v
}

// ranked are the objects visible to a namespace, in the order of precedence.
func ranked[T any](in []T, namespace string, rank func(Meta) int, of func(T) (Meta, exports)) []T {
	var out []T
	for _, t := range in {
		if _, e := of(t); e.to(namespace) {
			out = append(out, t)
		}
	}
	slices.SortStableFunc(out, func(a, b T) int {
		ma, _ := of(a)
		mb, _ := of(b)
		return cmp.Compare(rank(ma), rank(mb))
	})
	return out
}
