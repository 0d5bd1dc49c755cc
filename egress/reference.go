package egress

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// checkReferences finds the problems between objects, as the namespace of each
// VirtualService sees them: hosts that nothing declares, routes that cannot hold
// on the ports that are declared, destinations that lead nowhere, and objects
// that another one stands before. Nothing is left out of the model for it: what
// leads nowhere is answered so.
func (m *Model) checkReferences(problems *Problems) {
	views := map[string]*View{}
	m.checkConflicts(problems)
	for _, r := range m.routes {
		class := m.Class(r.meta.Namespace)
		if views[class] == nil {
			views[class] = m.View(r.meta.Namespace)
		}
		views[class].checkRoutes(r, reporter{KindVirtualService, r.meta, problems})
	}
}

// checkConflicts warns about what has no effect because an object of the same
// namespace says it too, and wins.
func (m *Model) checkConflicts(problems *Problems) {
	first := map[string]Meta{}
	const fix = "write all of it in one object"
	for _, h := range m.hosts {
		key := h.meta.Namespace + " " + h.cluster()
		if winner, taken := first[key]; taken && winner != h.meta {
			reporter{KindServiceEntry, h.meta, problems}.warn("spec.hosts", h.name,
				fmt.Sprintf("no effect on port %d: ServiceEntry %s/%s is older, or comes first by name, and declares it", h.port, winner.Namespace, winner.Name), fix)
		} else if !taken {
			first[key] = h.meta
		}
	}
	claim := map[string]claims{}
	for _, h := range m.hosts {
		if claim[h.meta.Namespace] == nil {
			claim[h.meta.Namespace] = claims{}
		}
		if owner := claim[h.meta.Namespace].settle(&h); h.shadowed && owner != h.meta {
			reporter{KindServiceEntry, h.meta, problems}.warn("spec.addresses", h.name,
				fmt.Sprintf("no effect on TCP port %d: ServiceEntry %s/%s is older, or comes first by name, and has its addresses", h.port, owner.Namespace, owner.Name),
				"give each TCP host addresses or a port of its own")
		}
	}
	for _, r := range m.routes {
		key := r.meta.Namespace + " route " + r.host
		if winner, taken := first[key]; taken {
			reporter{KindVirtualService, r.meta, problems}.warn(r.path, r.host,
				fmt.Sprintf("no effect: VirtualService %s/%s is older, or comes first by name, and has the host", winner.Namespace, winner.Name), fix)
		} else {
			first[key] = r.meta
		}
	}
}

// checkRoutes checks what an object says about one of its hosts.
func (v *View) checkRoutes(vh virtualHost, r reporter) {
	declared := v.concerning(vh.host)
	if len(declared) == 0 {
		r.warn(vh.path, vh.host, "no effect: no ServiceEntry that this namespace sees declares it", "declare it")
		return
	}
	http := slices.DeleteFunc(slices.Clone(declared), func(h host) bool { return !h.protocol.http() })
	if len(vh.http) > 0 && len(http) == 0 {
		for _, route := range vh.http {
			path, what := route.path, "routes by request"
			if route.spec.Timeout != nil {
				path, what = path+".timeout", "timeouts"
			}
			r.error(path, "", fmt.Sprintf("%s passed on without being read: there are no requests for %s to hold for", portsText(declared), what),
				"use tls routes, or declare a port as HTTP")
		}
		return
	}
	for _, h := range http {
		d := domain{name: vh.host, host: h, rules: vh.http, by: vh.meta}
		if covers(vh.host, h.name) {
			d.name = h.name
		}
		for _, route := range vh.http {
			v.checkRoute(route, d, r)
		}
	}
	for _, route := range vh.http {
		for i, m := range route.spec.Match {
			if m.GetPort() != 0 && !slices.ContainsFunc(http, func(h host) bool { return h.port == m.Port }) {
				r.warn(fmt.Sprintf("%s.match[%d].port", route.path, i), fmt.Sprint(m.Port), fmt.Sprintf("never matches: %s is not declared as HTTP on it", vh.host), "write a port that is")
			}
		}
	}
	v.checkSNI(vh, r)
}

// concerning are the declared hosts that what is said about a name can be about:
// itself, those that it covers, and the wildcards that cover it.
func (v *View) concerning(name string) []host {
	var out []host
	if strings.HasPrefix(name, "*") {
		for _, h := range v.hosts {
			if covers(h.name, name) || covers(name, h.name) {
				out = append(out, h)
			}
		}
		return out
	}
	for n := range wider(name) {
		for _, port := range v.byName[n] {
			out = append(out, v.hosts[v.byCluster[clusterName(port, n)]])
		}
	}
	return out
}

// portsText names ports, with a verb: port 443 is, ports 443 and 8443 are.
func portsText(hosts []host) string {
	var ports []string
	for _, h := range hosts {
		if p := fmt.Sprint(h.port); !slices.Contains(ports, p) {
			ports = append(ports, p)
		}
	}
	if len(ports) == 1 {
		return "port " + ports[0] + " is"
	}
	return "ports " + strings.Join(ports, " and ") + " are"
}

// checkRoute checks the destinations of a route, as requests for a domain see
// them.
func (v *View) checkRoute(route httpRoute, d domain, r reporter) {
	if _, ok := matchesOn(route.spec, d.host.port); !ok {
		return
	}
	for _, t := range route.to {
		if l := v.routeLead(route, t, d); l.fault != "" && t.weight > 0 {
			r.add(l.severity, t.path, t.host, l.fault, l.fix)
		}
	}
	for _, t := range route.mirrors {
		if l := v.lead(t, d, true); l.fault != "" {
			r.add(l.severity, t.path, t.host, l.fault, strings.Replace(l.fix, "requests are answered 503", "no copy is sent", 1))
		}
	}
}

// checkSNI checks the routes by SNI.
func (v *View) checkSNI(vh virtualHost, r reporter) {
	for _, route := range vh.tls {
		used := map[uint32][]string{}
		for _, m := range route.matches {
			for _, name := range m.names {
				if !covers(vh.host, name) {
					continue // it is another host's of the object
				}
				ports := slices.DeleteFunc(v.tlsPorts(name), func(p uint32) bool { return m.port != 0 && m.port != p })
				if len(ports) == 0 {
					r.warn(m.path, name, "no effect: no ServiceEntry that this namespace sees declares it as TLS", "declare it with protocol TLS, on the port of the match if there is one")
				}
				for _, p := range ports {
					used[p] = append(used[p], name)
				}
			}
		}
		for _, port := range slices.Sorted(maps.Keys(used)) {
			for i, l := range v.leads(sniRoute{port: port, names: used[port], route: route, by: vh.meta}) {
				if t := route.to[i]; l.fault != "" {
					r.add(l.severity, t.path, t.host, strings.Replace(l.fault, "requests for", "connections for", 1), strings.Replace(l.fix, "requests are answered 503", "connections are closed", 1))
				}
			}
		}
	}
}
