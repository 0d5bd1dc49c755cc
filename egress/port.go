package egress

import "slices"

// standingPorts always have a listener: the first ServiceEntry for a port with a
// listener disturbs no connection.
func standingPorts() []uint32 { return []uint32{80, 443} }

// Port is a port that has a listener of its own, with the hosts declared on it.
type Port struct {
	Number uint32
	Hosts  []Host // sorted by name
}

// OnlyTCP reports whether connections are forwarded without waiting for the
// client's first bytes, because no HTTP or TLS host is declared on the port.
func (p Port) OnlyTCP() bool {
	if slices.Contains(standingPorts(), p.Number) {
		return false
	}
	return !slices.ContainsFunc(p.Hosts, func(h Host) bool { return h.Protocol != ProtocolTCP })
}
