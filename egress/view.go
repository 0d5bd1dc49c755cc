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
	hosts     []*Host       // sorted by port and name, each pair once
	byName    []int32       // the positions of hosts, sorted by name and port
	domains   []domain      // sorted by port and name
	sni       []SNIRoute    // sorted by port
	mirrors   []Destination // sorted by name
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
	port, name, _ := strings.Cut(strings.TrimPrefix(cluster, "outbound|"), "||")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || ClusterName(uint32(n), name) != cluster {
		return Host{}, false
	}
	return v.declared(uint32(n), name)
}

// declared is the host that is declared by a name.
func (v *View) declared(port uint32, name string) (Host, bool) {
	i, ok := v.number(port, name)
	if !ok {
		return Host{}, false
	}
	return *v.hosts[i], true
}

// portsNamed are the ports of the host of a name, sorted.
func (v *View) portsNamed(name string) (ports []uint32) {
	i, _ := slices.BinarySearchFunc(v.byName, name, func(i int32, name string) int { return cmp.Compare(v.hosts[i].Name, name) })
	for ; i < len(v.byName) && v.hosts[v.byName[i]].Name == name; i++ {
		ports = append(ports, v.hosts[v.byName[i]].Port)
	}
	return ports
}

// number is the position of a host.
func (v *View) number(port uint32, name string) (int, bool) {
	return slices.BinarySearchFunc(v.hosts, hostKey{port, name}, func(h *Host, of hostKey) int {
		return cmp.Or(cmp.Compare(h.Port, of.port), cmp.Compare(h.Name, of.name))
	})
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
	for _, h := range v.ofPort(uint32(n)) {
		if h.Protocol == ProtocolTLS && h.Static() && slices.Contains(h.Addresses, netip.PrefixFrom(a, a.BitLen())) {
			return *h, true
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
		hosts := make([]Host, n)
		for i, h := range rest[:n] {
			hosts[i] = *h
		}
		out = append(out, Port{number, hosts})
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
	of := ofPort(v.domains, port, func(d *domain) uint32 { return v.hosts[d.host].Port })
	out := make([]Domain, 0, len(of))
	for _, d := range of {
		out = append(out, v.domain(d))
	}
	return out
}

func (v *View) domain(d domain) Domain { return Domain{d.name, *v.hosts[d.host], d.routes, d.by} }

// SNIRoutes are the routes by SNI of a port.
func (v *View) SNIRoutes(port uint32) []SNIRoute {
	return ofPort(v.sni, port, func(s *SNIRoute) uint32 { return s.Port })
}

// Mirrors are the destinations that requests are mirrored to, sorted by cluster.
func (v *View) Mirrors() []Destination { return v.mirrors }

func (v *View) ofPort(port uint32) []*Host {
	return ofPort(v.hosts, port, func(h **Host) uint32 { return (*h).Port })
}

// ofPort is the part of a list, sorted by port, with one port.
func ofPort[T any](sorted []T, port uint32, of func(*T) uint32) []T {
	from := sort.Search(len(sorted), func(i int) bool { return of(&sorted[i]) >= port })
	to := from + sort.Search(len(sorted)-from, func(i int) bool { return of(&sorted[from+i]) > port })
	return sorted[from:to:to]
}
