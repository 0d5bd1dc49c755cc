package egress

import "slices"

// standingPorts have listeners before anything is declared on them: the first
// entry for a port with a listener disturbs no connection.
func standingPorts() []uint32 { return []uint32{80, 443} }

// Port is what is declared on one port.
type Port struct {
	Number uint32
	Hosts  []Host
}

// OnlyTCP says that no client has to say what it speaks.
func (p Port) OnlyTCP() bool {
	if slices.Contains(standingPorts(), p.Number) {
		return false
	}
	return !slices.ContainsFunc(p.Hosts, func(h Host) bool { return h.Protocol != protocolTCP })
}

// Ports are the ports that have a listener of their own, sorted.
func (v *View) Ports() []Port {
	byNumber := map[uint32][]Host{}
	for _, n := range standingPorts() {
		byNumber[n] = nil
	}
	for _, h := range v.hosts {
		byNumber[h.Port] = append(byNumber[h.Port], h)
	}
	out := make([]Port, 0, len(byNumber))
	for n, hosts := range byNumber {
		out = append(out, Port{n, hosts})
	}
	slices.SortFunc(out, func(a, b Port) int { return int(a.Number) - int(b.Number) })
	return out
}
