package egress

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// checkReferences finds the problems between objects, in the view of each
// VirtualService's namespace: hosts that are not declared, routes that cannot
// apply to the declared ports, destinations that do not resolve, and objects
// that another one takes precedence over. The model keeps all of it: requests
// to such a destination get 503.
func (m *Model) checkReferences(problems *problem.List) {
	views := map[string]*View{}
	m.checkConflicts(problems)
	m.checkSharedPorts(problems)
	m.checkExports(problems)
	m.checkViewPorts(problems)
	m.checkSidecars(problems)
	view := func(namespace string) *View {
		class := m.Class(namespace)
		if views[class] == nil {
			views[class] = m.View(namespace)
		}
		return views[class]
	}
	aimedAt := map[Meta]bool{}
	for _, r := range m.routes {
		report := reporter{KindVirtualService, r.meta, problems}
		view(r.meta.Namespace).checkRoutes(r, report)
		if other, has := r.exports.other(r.meta.Namespace); has && r.meta.Namespace != m.mesh.rootNamespace {
			h, found := view(other).checkRouteNamespace(r, report)
			if found && !aimedAt[h.Meta] {
				aimedAt[h.Meta] = true // one, however many there are
				h.warnRoutesOf(r, reporter{KindServiceEntry, h.Meta, problems})
			}
		}
	}
}

// warnRoutesOf warns the author of a host of routes of another namespace.
func (h Host) warnRoutesOf(vh hostRoutes, r reporter) {
	by := "an object that this namespace does not see"
	if vh.exports.to(h.Meta.Namespace) {
		by = Source(KindVirtualService, vh.meta)
	}
	r.warn(h.path(), h.Name, "routes for this host are in another namespace ("+by+"): they apply in that namespace only", "no action is needed: in other namespaces, routes of the namespace of this entry and of the root namespace apply")
}

// checkConflicts warns about hosts that are ignored because another object of the
// same namespace takes precedence.
func (m *Model) checkConflicts(problems *problem.List) {
	first := map[string]Meta{}
	const fix = "merge the objects"
	for _, h := range m.hosts {
		key := h.Meta.Namespace + " " + h.ClusterName()
		if winner, taken := first[key]; taken && winner != h.Meta {
			reporter{KindServiceEntry, h.Meta, problems}.warn(h.path(), h.Name,
				fmt.Sprintf("no effect on port %d: conflicts with ServiceEntry %s/%s, which takes precedence", h.Port, winner.Namespace, winner.Name), fix)
		} else if !taken {
			first[key] = h.Meta
		}
	}
	byNamespace, detects := map[string]owners{}, m.detection()
	for _, h := range m.hosts {
		if byNamespace[h.Meta.Namespace] == nil {
			byNamespace[h.Meta.Namespace] = owners{}
		}
		owner := byNamespace[h.Meta.Namespace].assign(&h)
		if h.Protocol == ProtocolTLS && owner != (Meta{}) && owner != h.Meta {
			reporter{KindServiceEntry, h.Meta, problems}.warn("spec.addresses", h.Name,
				fmt.Sprintf("no effect on TLS without SNI on port %d: the addresses conflict with ServiceEntry %s/%s, which takes precedence", h.Port, owner.Namespace, owner.Name),
				"use different addresses for each entry")
		}
		if h.Shadowed && owner != h.Meta {
			rule := fmt.Sprintf("no effect on TCP port %d: the addresses conflict with ServiceEntry %s/%s, which takes precedence", h.Port, owner.Namespace, owner.Name)
			if h.AnyAddress && detects(h.Port, h.Meta.Namespace) {
				rule = fmt.Sprintf("on TCP port %d only HTTP and TLS are matched, by Host and SNI: without addresses, ServiceEntry %s/%s takes precedence", h.Port, owner.Namespace, owner.Name)
			}
			reporter{KindServiceEntry, h.Meta, problems}.warn("spec.addresses", h.Name, rule, "use different addresses or ports for each TCP host")
		}
	}
	for _, r := range m.routes {
		key := r.meta.Namespace + " route " + r.host
		if winner, taken := first[key]; taken {
			reporter{KindVirtualService, r.meta, problems}.warn(r.path, r.host,
				fmt.Sprintf("no effect: conflicts with VirtualService %s/%s, which takes precedence", winner.Namespace, winner.Name), fix)
		} else {
			first[key] = r.meta
		}
	}
}

// checkRoutes checks the routes of an object for one of its hosts.
func (v *View) checkRoutes(vh hostRoutes, r reporter) {
	hosts := v.hostsFor(vh.host)
	if len(hosts) == 0 {
		r.add(problem.NotFound(vh.path, vh.host, "no effect: no visible ServiceEntry declares this host", "declare it in a ServiceEntry"))
		return
	}
	http := slices.DeleteFunc(slices.Clone(hosts), func(h Host) bool { return !h.Protocol.IsHTTP() })
	if len(vh.http) > 0 && len(http) == 0 {
		for _, route := range vh.http {
			path, what := route.Path, "routes"
			if route.Spec.Timeout != nil {
				path, what = path+".timeout", "timeouts"
			}
			r.error(path, "", fmt.Sprintf("%s TLS or TCP passthrough; HTTP %s cannot apply", portsText(hosts), what),
				"use tls routes, or declare a port as HTTP")
		}
		return
	}
	for _, h := range http {
		d := Domain{Name: vh.host, Host: h, Routes: vh.http, By: vh.meta}
		if covers(vh.host, h.Name) {
			d.Name = h.Name
		}
		for _, route := range vh.http {
			v.checkRoute(route, d, r)
		}
	}
	for _, route := range vh.http {
		for i, m := range route.Spec.Match {
			if m.GetPort() != 0 && !slices.ContainsFunc(http, func(h Host) bool { return h.Port == m.Port }) {
				r.warn(fmt.Sprintf("%s.match[%d].port", route.Path, i), fmt.Sprint(m.Port), fmt.Sprintf("never matches: %s is not declared as HTTP on this port", vh.host), "use a port that is declared as HTTP")
			}
		}
	}
	v.checkSNI(vh, r)
}

// checkRouteNamespace warns about routes for a host that another namespace
// declares, and that the routes do not apply to elsewhere, and returns the host. The view is of a
// namespace that sees the routes and has no objects.
func (v *View) checkRouteNamespace(vh hostRoutes, r reporter) (of Host, found bool) {
	for _, h := range v.hostsFor(vh.host) {
		if h.Meta.Namespace == vh.meta.Namespace {
			continue
		}
		declared := ""
		if h.exports.to(vh.meta.Namespace) {
			declared = fmt.Sprintf(": there ServiceEntry %s/%s declares %s", h.Meta.Namespace, h.Meta.Name, h.Name)
		}
		r.warn(vh.path, vh.host, "applies in namespace "+vh.meta.Namespace+" only: in others, the routes of the namespace that declares the host, and of the root namespace, apply"+declared, `set exportTo: ["."], or move the VirtualService to the namespace of the ServiceEntry`)
		return h, true
	}
	return Host{}, false
}

// hostsFor are the declared hosts that routes for a name can apply to: itself,
// those that it covers, and the wildcards that cover it.
func (v *View) hostsFor(name string) []Host {
	var out []Host
	if strings.HasPrefix(name, "*") {
		for _, h := range v.hosts {
			if covers(h.Name, name) || covers(name, h.Name) {
				out = append(out, *h)
			}
		}
		return out
	}
	for n := range wider(name) {
		for _, port := range v.portsNamed(n) {
			if h, ok := v.declared(port, n); ok {
				out = append(out, h)
			}
		}
	}
	return out
}

// portsText names ports, with a verb: port 443 is, ports 443 and 8443 are.
func portsText(hosts []Host) string {
	var ports []string
	for _, h := range hosts {
		if p := fmt.Sprint(h.Port); !slices.Contains(ports, p) {
			ports = append(ports, p)
		}
	}
	if len(ports) == 1 {
		return "port " + ports[0] + " is"
	}
	return "ports " + strings.Join(ports, " and ") + " are"
}

// checkRoute checks the destinations of a route for requests to a domain.
func (v *View) checkRoute(route HTTPRoute, d Domain, r reporter) {
	if _, ok := route.MatchesOn(d.Host.Port); !ok {
		return
	}
	for _, t := range route.Destinations {
		if t.Weight == 0 {
			continue
		}
		to := v.Destination(route, t, d)
		if to.Problem != nil {
			r.add(*to.Problem)
		}
		notePlaintextDestination(to, t, r)
	}
	for _, t := range route.Mirrors {
		to := v.MirrorDestination(t, d)
		if to.Problem != nil {
			r.add(*to.Problem)
		}
		notePlaintextDestination(to, t, r)
	}
}

// checkSNI checks the routes by SNI.
func (v *View) checkSNI(vh hostRoutes, r reporter) {
	for _, route := range vh.tls {
		used := map[uint32][]string{}
		for _, m := range route.matches {
			for _, name := range m.names {
				if !covers(vh.host, name) {
					continue // it belongs to another host of the object
				}
				ports := slices.DeleteFunc(v.tlsPorts(name), func(p uint32) bool { return m.port != 0 && m.port != p })
				if len(ports) == 0 {
					r.add(problem.NotFound(m.path, name, "no effect: no visible ServiceEntry declares this host as TLS", "declare it with protocol TLS, on the port of the match if there is one"))
				}
				for _, p := range ports {
					used[p] = append(used[p], name)
				}
			}
		}
		for _, port := range slices.Sorted(maps.Keys(used)) {
			for _, d := range v.SNIDestinations(SNIRoute{Port: port, Names: used[port], Route: route, By: vh.meta}) {
				if d.Problem != nil {
					r.add(*d.Problem)
				}
			}
		}
	}
}
