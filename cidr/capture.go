package cidr

import (
	"net/netip"

	"go4.org/netipx"
)

// Family is an address family, by the name that messages use.
type Family string

// The address families.
const (
	IPv4 Family = "IPv4"
	IPv6 Family = "IPv6"
)

// Capture is which connections a redirect includes and which of them it
// excludes again, in Istio's order: an excluded port or address takes precedence
// over every include.
type Capture struct {
	Include, Exclude           List
	IncludePorts, ExcludePorts Ports
}

// Includes reports whether connections of a family are included, by their
// address or their port.
func (c Capture) Includes(f Family) bool {
	return c.Include.of(f).set != nil || !c.IncludePorts.IsEmpty()
}

// Captures reports whether some connection of a family is captured: one to an
// address that a host can have and that is not excluded.
func (c Capture) Captures(f Family) bool {
	exclude := c.Exclude.of(f)
	if !exclude.containsHosts(c.Include.of(f).cover, f) {
		return true
	}
	return !c.IncludedPorts().IsEmpty() && !exclude.containsHosts(all.of(f).cover, f)
}

// IncludedPorts are the included ports that are not excluded.
func (c Capture) IncludedPorts() Ports {
	if c.IncludePorts.wildcard || c.ExcludePorts.IsEmpty() {
		return c.IncludePorts
	}
	var out []uint16
	for _, port := range c.IncludePorts.ports {
		if !c.ExcludePorts.Contains(port) {
			out = append(out, port)
		}
	}
	return PortsOf(out...)
}

// hosts are the addresses of each family that a connection over the network can
// be to: not "this network", loopback, multicast or reserved ones (RFC 6890).
// Loopback addresses are captured where a list has them outright.
var hosts = map[Family][]netipx.IPRange{
	IPv4: {netipx.MustParseIPRange("1.0.0.0-126.255.255.255"), netipx.MustParseIPRange("128.0.0.0-223.255.255.255")},
	IPv6: {netipx.MustParseIPRange("0:1::-feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")},
}

// containsHosts reports whether every host's address in the ranges is in the
// family: true if there is none.
func (f family) containsHosts(cover []netip.Prefix, name Family) bool {
	for _, p := range cover {
		if p.Addr().IsLoopback() && !f.containsPrefix(p) {
			return false
		}
		r := netipx.RangeOfPrefix(p)
		for _, h := range hosts[name] {
			from, to := later(r.From(), h.From()), earlier(r.To(), h.To())
			if from.Compare(to) <= 0 && (f.set == nil || !f.set.ContainsRange(netipx.IPRangeFrom(from, to))) {
				return false
			}
		}
	}
	return true
}

func later(a, b netip.Addr) netip.Addr {
	if a.Less(b) {
		return b
	}
	return a
}

func earlier(a, b netip.Addr) netip.Addr {
	if a.Less(b) {
		return a
	}
	return b
}

func (l List) of(f Family) family {
	if f == IPv4 {
		return l.v4
	}
	return l.v6
}
