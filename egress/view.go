package egress

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// View is the model as the sidecars of one namespace may see it: without what
// is not exported to it, and with every conflict decided.
type View struct {
	mesh      Mesh
	inCluster []InClusterAddress
	hosts     []Host // sorted by port and name, each pair once
	byCluster map[string]int
	byName    map[string][]uint32 // the ports of each host, sorted
	domains   []Domain            // sorted by port and name
	sni       []SNIRoute
	mirrors   []Destination // sorted by name, where requests are mirrored to
	version   string
}

// View makes the view of a namespace.
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
	taken := map[string]bool{}
	for _, h := range ranked(m.hosts, namespace, rank, func(h Host) (Meta, exports) { return h.Meta, h.exports }) {
		if name := h.ClusterName(); !taken[name] {
			taken[name] = true
			v.hosts = append(v.hosts, h)
		}
	}
	claim := owners{}
	for i := range v.hosts {
		claim.assign(&v.hosts[i])
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

// findDomains gives every declared HTTP host, with the routes of the
// VirtualService that names it most closely, and every name under a declared
// wildcard that a VirtualService names.
func (v *View) findDomains(routes map[string]hostRoutes) []Domain {
	var out []Domain
	ports := map[uint32]bool{}
	for _, h := range v.hosts {
		if !h.Protocol.IsHTTP() {
			continue
		}
		ports[h.Port] = true
		d := Domain{Name: h.Name, Host: h}
		if r, ok := closest(routes, h.Name, func(r hostRoutes) bool { return len(r.http) > 0 }); ok {
			d.Routes, d.By = r.http, r.meta
		}
		out = append(out, d)
	}
	for _, name := range slices.Sorted(maps.Keys(routes)) {
		for port := range ports {
			h, ok := v.find(name, port)
			if ok && h.Name != name && h.Protocol.IsHTTP() && len(routes[name].http) > 0 {
				out = append(out, Domain{Name: name, Host: h, Routes: routes[name].http, By: routes[name].meta})
			}
		}
	}
	slices.SortFunc(out, func(a, b Domain) int {
		return cmp.Or(cmp.Compare(a.Host.Port, b.Host.Port), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// findSNI gives the routes by SNI for declared TLS hosts. The first route that
// has a name takes it.
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
				// The same route, for another of the object's hosts.
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

// findMirrors gives the hosts that routes mirror requests to. Nothing fetches
// their clusters on demand, so sidecars have them from the start.
func (v *View) findMirrors() []Destination {
	all := map[string]Destination{}
	for _, d := range v.domains {
		for _, r := range d.Routes {
			for _, t := range r.Mirrors {
				if l := v.destination(t, d, true); l.Fault == "" {
					all[l.MirrorClusterName()] = l
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

// ranked are the objects that a namespace sees, those that win first.
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

// Version is 16 hexadecimal digits of a hash of all that the resources depend
// on: views of one version have the same resources.
func (v *View) Version() string { return v.version }

func (v *View) hash() string {
	h := sha256.New()
	m := v.mesh
	fields := ""
	if m.AccessLog.Fields != nil {
		b, _ := marshal(m.AccessLog.Fields) // a Struct of JSON always has a wire form
		fields = string(b)
	}
	m.AccessLog.Fields = nil // a pointer's text would be its address
	fmt.Fprintf(h, "%+v %q\n%v\n", m, fields, v.inCluster)
	for _, x := range v.hosts {
		x.Meta, x.exports = Meta{}, exports{} // who declared it makes no difference to the sidecar
		fmt.Fprintf(h, "%+v\n", x)
	}
	for _, d := range v.domains {
		if len(d.Routes) > 0 {
			fmt.Fprintf(h, "%d %s %s/%s\n", d.Host.Port, d.Name, d.By.Namespace, d.By.Name)
		}
		for _, r := range d.Routes {
			b, _ := marshal(r.Spec)
			fmt.Fprintf(h, "%q\n", b)
		}
	}
	for _, s := range v.sni {
		fmt.Fprintf(h, "%d %q %s/%s %s %+v\n", s.Port, s.Names, s.By.Namespace, s.By.Name, s.Route.Path, s.Route.Destinations)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
