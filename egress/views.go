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
	for _, h := range ranked(hosts, c.rank, func(h *Host) Meta { return h.Meta }) {
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
	v.hosts = slices.Clone(v.hosts) // without room for more: a view is kept
	slices.SortFunc(v.hosts, compareHosts)
	v.byName = make([]int32, len(v.hosts))
	for i := range v.byName {
		v.byName[i] = int32(i)
	}
	slices.SortStableFunc(v.byName, func(a, b int32) int { return cmp.Compare(v.hosts[a].Name, v.hosts[b].Name) })
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
