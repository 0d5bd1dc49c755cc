package egress

import (
	"iter"
	"net/netip"
	"slices"
	"strings"
)

// overlaps are the TCP hosts of a port that have addresses, and the other hosts of the
// port that may have the same ones. The TCP hosts are added first.
type overlaps struct {
	routed  map[string]bool // hosts with routes by SNI: without routes TLS is forwarded in both cases
	ranges  overlap         // a name may resolve to any address of a range
	first   map[int]netip.Prefix
	of      map[netip.Prefix]*overlap
	lengths map[int][]int // of the prefixes, by the length of their addresses
}

// overlap are the hosts that may have the addresses of a prefix.
type overlap struct{ tcp, others audience }

// addTCP adds a TCP host, with the namespaces it applies in.
func (o *overlaps) addTCP(i int, h Host, in exports) {
	for _, p := range h.Addresses {
		if _, has := o.first[i]; !has && !p.IsSingleIP() {
			o.first[i] = p
			o.ranges.tcp.add(i, in)
		}
		if o.of[p] == nil {
			o.of[p] = &overlap{}
		}
		o.of[p].tcp.add(i, in)
		if bits := p.Addr().BitLen(); !slices.Contains(o.lengths[bits], p.Bits()) {
			o.lengths[bits] = append(o.lengths[bits], p.Bits())
		}
	}
}

func (o *overlaps) addOther(i int, h Host) {
	if !o.hasRoutes(h) {
		return
	}
	known := h.declaredAddresses()
	if len(known) == 0 {
		o.ranges.others.add(i, h.exports)
	}
	for _, x := range o.around(known) {
		x.others.add(i, h.exports)
	}
}

// tcpOf is the first TCP host that hides the routes of a host, with the prefix.
func (o *overlaps) tcpOf(h Host, in exports) (tcp int, prefix netip.Prefix, found bool) {
	if !o.hasRoutes(h) {
		return 0, netip.Prefix{}, false
	}
	known := h.declaredAddresses()
	if len(known) == 0 {
		tcp, found = o.ranges.tcp.meeting(in)
		return tcp, o.first[tcp], found
	}
	for p, x := range o.around(known) {
		if i, meets := x.tcp.meeting(in); meets && (!found || i < tcp || i == tcp && p.Bits() > prefix.Bits()) {
			tcp, prefix, found = i, p, true
		}
	}
	return tcp, prefix, found
}

// otherOf is the first host whose routes a TCP host hides, with the prefix.
func (o *overlaps) otherOf(tcp Host, in exports) (other int, prefix netip.Prefix, found bool) {
	for _, p := range tcp.Addresses {
		i, meets := o.of[p].others.meeting(in)
		if j, also := o.ranges.others.meeting(in); also && !p.IsSingleIP() && (!meets || j < i) {
			i, meets = j, true
		}
		if meets && (!found || i < other) {
			other, prefix, found = i, p, true
		}
	}
	return other, prefix, found
}

func (o *overlaps) hasRoutes(h Host) bool {
	if h.Protocol != ProtocolTLS {
		return true
	}
	_, has := closest(o.routed, h.Name, func(bool) bool { return true })
	return has
}

// around are the prefixes of TCP hosts that contain addresses.
func (o *overlaps) around(known []netip.Addr) iter.Seq2[netip.Prefix, *overlap] {
	return func(yield func(netip.Prefix, *overlap) bool) {
		for _, a := range known {
			for _, bits := range o.lengths[a.BitLen()] {
				p, err := a.Prefix(bits)
				if x := o.of[p]; err == nil && x != nil && !yield(p, x) {
					return
				}
			}
		}
	}
}

// declaredAddresses are the addresses that a host certainly has.
func (h Host) declaredAddresses() []netip.Addr {
	var out []netip.Addr
	if a, err := netip.ParseAddr(strings.Trim(h.Name, "[]")); h.Of != "" && err == nil {
		return append(out, a)
	}
	if h.Static() {
		for _, e := range h.Endpoints {
			a, _ := netip.ParseAddr(e.Address) // each is one
			out = append(out, a)
		}
	}
	return out
}
