package egress

import (
	"cmp"
	"slices"
)

// View returns the view of a namespace: that of its workloads which no Sidecar selects.
func (m *Model) View(namespace string) *View { return m.ViewOf(Workload{Namespace: namespace}) }

// ViewOf returns the view of a workload.
func (m *Model) ViewOf(w Workload) *View {
	namespace, s := w.Namespace, m.scope(w).open(w.Namespace)
	v := &View{mesh: m.mesh}
	if s == nil {
		v.inCluster = m.inClusterOf(namespace)
	} else {
		v.inCluster, v.mesh.RegistryOnly, v.policyBy = m.inClusterIn(namespace, s), s.registryOnly, s.policyBy
		v.limited = s.hosts != nil
	}
	hosts, routesSeen := m.seen(namespace, s)
	c := newClaims(namespace, m.mesh.rootNamespace, len(hosts))
	of := make([]Host, 0, len(hosts))
	for _, h := range ranked(hosts, c.rank, func(h *Host) Meta { return h.Meta }) {
		if c.add(&h) {
			of = append(of, h)
		}
	}
	shared := c.shared(of)
	if len(shared) > 0 {
		of = slices.DeleteFunc(of, func(h Host) bool { return len(h.Endpoints) > 0 && shared[hostKey{h.Port, h.Name}] })
	}
	if m.manyPorts {
		of = withinPorts(of, m.limits.ViewPorts, c.rank)
	}
	taken := owners{}
	for i := range of {
		taken.assign(&of[i])
	}
	slices.SortFunc(of, compareHosts)
	v.keep(of)
	routes := newRouteTable(shared)
	for _, r := range ranked(routesSeen, c.rank, func(r *hostRoutes) Meta { return r.meta }) {
		routes.add(r, c.rank(r.meta) < rankOther)
	}
	v.domains = v.findDomains(routes)
	v.sni = v.findSNI(routes)
	v.mirrors = v.findMirrors()
	v.version = v.hash()
	return v
}

// keep makes sorted hosts those of the view.
func (v *View) keep(of []Host) {
	v.hosts, v.byName = make([]*Host, len(of)), make([]int32, len(of))
	for i := range of {
		v.hosts[i], v.byName[i] = of[i].kept(), int32(i)
	}
	slices.SortStableFunc(v.byName, func(a, b int32) int { return cmp.Compare(v.hosts[a].Name, v.hosts[b].Name) })
}

// seen are the hosts and routes that a workload of a namespace sees, in their order; nil:
// no scope.
func (m *Model) seen(namespace string, s *scope) (hosts []Host, routes []hostRoutes) {
	m.eachSeen(namespace, s, func(i int) { hosts = append(hosts, m.hosts[i]) }, func(i int) { routes = append(routes, m.routes[i]) })
	return hosts, routes
}

// eachSeen calls host and route for the numbers of what a workload of a namespace sees.
func (m *Model) eachSeen(namespace string, s *scope, host, route func(int)) {
	m.visible.hosts(m.hosts, namespace, func(i int) {
		if h := &m.hosts[i]; s == nil || s.hosts == nil || s.hosts.has(h.Meta.Namespace, h.RoutesName(), h.Port) {
			host(i)
		}
	})
	for i := range m.routes {
		r := &m.routes[i]
		if r.exports.to(namespace) && (s == nil || s.hosts == nil || s.hosts.hasRoutes(r.meta.Namespace, r.host)) {
			route(i)
		}
	}
}

// ranked are objects in the order of precedence.
func ranked[T any](in []T, rank func(Meta) int, of func(*T) Meta) []T {
	out := make([]T, 0, len(in))
	for r := rankOwn; r <= rankOther; r++ {
		for i := range in {
			if rank(of(&in[i])) == r {
				out = append(out, in[i])
			}
		}
	}
	return out
}
