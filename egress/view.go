package egress

import (
	"cmp"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// View is the model as the sidecars of one namespace see it: without the objects
// that are not exported to the namespace, and with all conflicts resolved. What
// its methods return is shared and must not be changed.
type View struct {
	mesh      Mesh
	inCluster []InClusterAddress
	hosts     []Host // sorted by port and name, each pair once
	byCluster map[string]int
	byName    map[string][]uint32 // the ports of each host, sorted
	domains   []Domain            // sorted by port and name
	sni       []SNIRoute          // sorted by port
	mirrors   []Destination       // sorted by name
	version   string
	policyBy  Meta // the Sidecar with the policy; zero: the mesh's
	limited   bool
}

// Version is 16 hexadecimal digits of a hash of all that the resources depend
// on: views of one version have the same resources.
func (v *View) Version() string { return v.version }

// Mesh are the settings of the whole mesh.
func (v *View) Mesh() Mesh { return v.mesh }

// PolicyBy is the Sidecar whose outboundTrafficPolicy applies; false: it is the mesh's. Of
// a view that workloads share, it is that of one of them.
func (v *View) PolicyBy() (Meta, bool) { return v.policyBy, v.policyBy != Meta{} }

// Limited reports whether a Sidecar limits what is visible, by egress.hosts.
func (v *View) Limited() bool { return v.limited }

// InCluster are the addresses that are always reachable, sorted, each once.
func (v *View) InCluster() []InClusterAddress { return v.inCluster }

// Hosts are the clusters of all declared hosts, sorted by port and host.
func (v *View) Hosts() []string {
	out := make([]string, 0, len(v.hosts))
	for _, h := range v.hosts {
		out = append(out, h.ClusterName())
	}
	return out
}

// Host is the declared host with a cluster of some name.
func (v *View) Host(cluster string) (Host, bool) {
	i, ok := v.byCluster[cluster]
	if !ok {
		return Host{}, false
	}
	return v.hosts[i], true
}

// HostOfAddress is the TLS host with endpoints that has a single address, by the
// name of the cluster for the address.
func (v *View) HostOfAddress(cluster string) (Host, bool) {
	port, address, _ := strings.Cut(strings.TrimPrefix(cluster, "outbound|"), "|tls|")
	n, err := strconv.ParseUint(port, 10, 16)
	a, invalid := netip.ParseAddr(address)
	if err != nil || invalid != nil || AddressClusterName(uint32(n), address) != cluster {
		return Host{}, false
	}
	for _, h := range ofPort(v.hosts, uint32(n), func(h *Host) uint32 { return h.Port }) {
		if h.Protocol == ProtocolTLS && h.Static() && slices.Contains(h.Addresses, netip.PrefixFrom(a, a.BitLen())) {
			return h, true
		}
	}
	return Host{}, false
}

// Ports are the ports that have a listener of their own, sorted.
func (v *View) Ports() []Port {
	var out []Port
	for rest := v.hosts; len(rest) > 0; {
		number, n := rest[0].Port, 1
		for n < len(rest) && rest[n].Port == number {
			n++
		}
		out = append(out, Port{number, rest[:n:n]})
		rest = rest[n:]
	}
	for _, number := range standingPorts() {
		i, declared := slices.BinarySearchFunc(out, number, func(p Port, n uint32) int { return cmp.Compare(p.Number, n) })
		if !declared {
			out = slices.Insert(out, i, Port{Number: number})
		}
	}
	return out
}

// Domains are the virtual hosts of a port, sorted by name.
func (v *View) Domains(port uint32) []Domain {
	return ofPort(v.domains, port, func(d *Domain) uint32 { return d.Host.Port })
}

// SNIRoutes are the routes by SNI of a port.
func (v *View) SNIRoutes(port uint32) []SNIRoute {
	return ofPort(v.sni, port, func(s *SNIRoute) uint32 { return s.Port })
}

// Mirrors are the destinations that requests are mirrored to, sorted by cluster.
func (v *View) Mirrors() []Destination { return v.mirrors }

// ofPort is the part of a list, sorted by port, with one port.
func ofPort[T any](sorted []T, port uint32, of func(*T) uint32) []T {
	from := sort.Search(len(sorted), func(i int) bool { return of(&sorted[i]) >= port })
	to := from + sort.Search(len(sorted)-from, func(i int) bool { return of(&sorted[from+i]) > port })
	return sorted[from:to:to]
}
