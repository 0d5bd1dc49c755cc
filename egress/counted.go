package egress

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Counted is the declared host of a cluster's name in counts: that of its cluster, of a
// cluster for mirrored requests, or the one that connections to an address belong to.
func (v *View) Counted(cluster string) (Host, bool) {
	if h, ok := v.Host(strings.TrimSuffix(cluster, ".")); ok {
		return h, true
	}
	if h, ok := v.HostOfAddress(cluster); ok {
		return h, true
	}
	for _, d := range v.mirrors {
		if d.MirrorClusterName() == cluster {
			return d.Host, true
		}
	}
	a, ok := addressOfCluster(cluster)
	if !ok {
		return Host{}, false
	}
	for _, h := range v.ofPort(uint32(a.Port())) {
		if h.Protocol == ProtocolTLS && slices.ContainsFunc(h.Addresses, func(p netip.Prefix) bool { return p.Contains(a.Addr()) }) {
			return *h, true
		}
	}
	return Host{}, false
}

// CountedInCluster is the address of the cluster that a cluster's name in counts has; false
// where the view has no such address.
func (v *View) CountedInCluster(cluster string) (netip.AddrPort, bool) {
	a, ok := addressOfCluster(cluster)
	if !ok {
		return a, false
	}
	i, found := slices.BinarySearchFunc(v.inCluster, a.Addr(), func(d InClusterAddress, a netip.Addr) int { return d.Address.Compare(a) })
	return a, found && (len(v.inCluster[i].Ports) == 0 || slices.Contains(v.inCluster[i].Ports, a.Port()))
}

// addressOfCluster is the address and the port in a name of the form of ClusterName.
func addressOfCluster(cluster string) (netip.AddrPort, bool) {
	port, address, _ := strings.Cut(strings.TrimPrefix(cluster, "outbound|"), "||")
	n, err := strconv.ParseUint(port, 10, 16)
	a, invalid := netip.ParseAddr(address)
	if err != nil || invalid != nil || n == 0 || ClusterName(uint32(n), address) != cluster {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a.Unmap().WithZone(""), uint16(n)), true
}

// ServiceAddresses are the Services that addresses of the cluster belong to.
type ServiceAddresses map[netip.Addr][]InClusterAddress

// ServiceAddresses are those of all Services.
func (m *Model) ServiceAddresses() ServiceAddresses {
	out := ServiceAddresses{}
	for _, d := range m.services {
		if a := d.Address.Unmap().WithZone(""); d.Service != (ServiceName{}) {
			out[a] = append(out[a], d)
		}
	}
	return out
}

// Of is the Service of an address, as a namespace reaches it. Of several, such as those of
// slices that others wrote, it is one that the namespace reaches: its own, or else the
// first in alphabetical order.
func (all ServiceAddresses) Of(a netip.AddrPort, namespace string) (s ServiceName, ok bool) {
	rank := func(s ServiceName) int {
		if s.Namespace == namespace {
			return 0
		}
		return 1
	}
	for _, d := range all[a.Addr()] {
		if !d.exports().to(namespace) || len(d.Ports) > 0 && !slices.Contains(d.Ports, a.Port()) {
			continue
		}
		if !ok || cmp.Or(cmp.Compare(rank(d.Service), rank(s)), cmp.Compare(d.Service.Namespace, s.Namespace), cmp.Compare(d.Service.Name, s.Name)) < 0 {
			s, ok = d.Service, true
		}
	}
	return s, ok
}

// DeclaredBy is the ServiceEntry that declares a host of a view for a namespace: namespaces
// with the same hosts share a view, and what they do not see of each other is not named.
func (m *Model) DeclaredBy(h Host, namespace string) (by Meta, ok bool) {
	if h.exports.to(namespace) {
		return h.Meta, true
	}
	m.visible.hosts(m.hosts, namespace, func(i int) {
		o := &m.hosts[i]
		if o.Port == h.Port && o.Name == h.RoutesName() && (!ok || o.Meta.Namespace == namespace) {
			by, ok = o.Meta, true
		}
	})
	return by, ok
}
