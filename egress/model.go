package egress

import (
	"net/netip"
	"slices"
)

// Model is the validated and sorted content of all objects.
type Model struct {
	mesh      Mesh
	inCluster []InClusterAddress // sorted by address, each address once
	hosts     []Host             // sorted: see compareHosts
	routes    []hostRoutes       // sorted: own order, see compareMeta
	private   map[string]bool
}

// findPrivate collects the namespaces whose view may differ from that of a
// namespace without objects: those that something is exported to by name, and
// those whose own objects take part in a conflict, in which they take
// precedence.
func (m *Model) findPrivate() {
	first, several := map[string]Meta{}, map[string]bool{}
	count := func(what string, by Meta) {
		if other, taken := first[what]; !taken {
			first[what] = by
		} else if other != by {
			several[what] = true
		}
	}
	for _, h := range m.hosts {
		count(h.ClusterName(), h.Meta)
		for _, w := range h.addressKeys() {
			count(w, h.Meta)
		}
	}
	for _, r := range m.routes {
		count(r.host, r.meta)
	}
	add := func(what string, own string, e exports) {
		if several[what] {
			m.private[own] = true
		}
		if e.all {
			return
		}
		for _, ns := range e.namespaces {
			m.private[ns] = true
		}
	}
	for _, h := range m.hosts {
		add(h.ClusterName(), h.Meta.Namespace, h.exports)
		for _, w := range h.addressKeys() {
			add(w, h.Meta.Namespace, h.exports)
		}
	}
	for _, r := range m.routes {
		add(r.host, r.meta.Namespace, r.exports)
	}
}

// Class is the class of a namespace: namespaces of one class have the same
// view.
func (m *Model) Class(namespace string) string {
	if m.private[namespace] {
		return namespace
	}
	return ""
}

// mergeAddresses returns each address once, with the union of its ports.
func mergeAddresses(in []InClusterAddress) []InClusterAddress {
	all, ports := map[netip.Addr]bool{}, map[netip.Addr]map[uint16]bool{}
	for _, d := range in {
		a := d.Address.Unmap().WithZone("")
		if !a.IsValid() || a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() {
			continue // not an address of another pod
		}
		if len(d.Ports) == 0 {
			all[a] = true
		}
		if ports[a] == nil {
			ports[a] = map[uint16]bool{}
		}
		for _, p := range d.Ports {
			ports[a][p] = true
		}
	}
	out := make([]InClusterAddress, 0, len(ports))
	for a, set := range ports {
		d := InClusterAddress{Address: a}
		if !all[a] {
			for p := range set {
				d.Ports = append(d.Ports, p)
			}
			slices.Sort(d.Ports)
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b InClusterAddress) int { return a.Address.Compare(b.Address) })
	return out
}
