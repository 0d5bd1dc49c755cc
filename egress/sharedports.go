package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// detects reports whether the sidecars of a namespace detect the protocol of
// connections to a port.
func (m *Model) detects(port uint32, namespace string) bool {
	return slices.Contains(standingPorts(), port) || slices.ContainsFunc(m.hosts, func(h Host) bool {
		return h.Port == port && h.Protocol != ProtocolTCP && h.exports.to(namespace)
	})
}

// sharedPort are the hosts of a port, by whether they are for TCP.
type sharedPort struct{ tcp, others []Host }

// checkSharedPorts warns about TCP hosts and hosts of other protocols that affect
// each other, because some namespace sees both on one port.
func (m *Model) checkSharedPorts(problems *problem.List) {
	ports := map[uint32]*sharedPort{}
	for _, h := range m.hosts {
		if h.Protocol == ProtocolTCP {
			ports[h.Port] = &sharedPort{}
		}
	}
	if len(ports) == 0 {
		return
	}
	for _, h := range m.hosts {
		switch p := ports[h.Port]; {
		case p == nil:
		case h.Protocol == ProtocolTCP:
			p.tcp = append(p.tcp, h)
		default:
			p.others = append(p.others, h)
		}
	}
	type place struct {
		meta Meta
		port uint32
	}
	warned, hidden := map[place]bool{}, map[place]bool{}
	routed := m.routedBySNI()
	for _, h := range m.hosts {
		at, p, r := place{h.Meta, h.Port}, ports[h.Port], reporter{KindServiceEntry, h.Meta, problems}
		if p == nil {
			continue
		}
		if !warned[at] {
			warned[at] = checkDetection(h, p, r)
		}
		if !hidden[at] {
			hidden[at] = checkHidden(h, p, routed, r)
		}
		checkSiblings(h, p, r)
	}
}

// routedBySNI are the hosts that VirtualServices have routes by SNI for.
func (m *Model) routedBySNI() map[string]bool {
	out := map[string]bool{}
	for _, r := range m.routes {
		if len(r.tls) > 0 {
			out[r.host] = true
		}
	}
	return out
}

// checkHidden warns about TCP hosts with addresses that other hosts may have, too:
// a connection is matched by address before its protocol is detected, so that no
// route applies to it. Without routes TLS is forwarded in both cases.
func checkHidden(h Host, p *sharedPort, routed map[string]bool, r reporter) (warned bool) {
	if h.Protocol == ProtocolTCP {
		for _, other := range p.others {
			if prefix, hides := h.hides(other, routed); hides && h.exports.meets(other.exports) {
				r.warn("spec.addresses", prefix.String(), fmt.Sprintf("hides the routes of %s of ServiceEntry %s/%s: connections to these addresses on port %d are not matched by Host or SNI",
					other.RoutesName(), other.Meta.Namespace, other.Meta.Name, h.Port), "use single addresses of the TCP host, or another port")
				return true
			}
		}
		return false
	}
	for _, tcp := range p.tcp {
		if prefix, hides := tcp.hides(h, routed); hides && h.exports.meets(tcp.exports) {
			r.warn("spec.ports", fmt.Sprint(h.Port), fmt.Sprintf("routes of %s do not apply to connections to %s: ServiceEntry %s/%s declares these addresses as TCP",
				h.RoutesName(), prefix, tcp.Meta.Namespace, tcp.Meta.Name), "use another port, or set exportTo to limit one of the entries")
			return true
		}
	}
	return false
}

// hides finds a prefix of a TCP host that covers an address of another host, as far
// as it is declared; a name may resolve to any address of a range.
func (h Host) hides(other Host, routed map[string]bool) (netip.Prefix, bool) {
	if _, has := closest(routed, other.Name, func(bool) bool { return true }); other.Protocol == ProtocolTLS && !has {
		return netip.Prefix{}, false
	}
	known := other.declaredAddresses()
	for _, prefix := range h.Addresses {
		if len(known) == 0 && !prefix.IsSingleIP() || slices.ContainsFunc(known, prefix.Contains) {
			return prefix, true
		}
	}
	return netip.Prefix{}, false
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

// checkSiblings warns about a TCP host without addresses that another one of its
// entry leaves nothing to.
func checkSiblings(h Host, p *sharedPort, r reporter) {
	if !h.AnyAddress || len(p.others) > 0 || slices.Contains(standingPorts(), h.Port) {
		return
	}
	first := p.tcp[slices.IndexFunc(p.tcp, func(t Host) bool { return t.Meta == h.Meta })]
	if first.Name != h.Name && !slices.Equal(first.Endpoints, h.Endpoints) {
		r.warn("spec.hosts", h.Name, fmt.Sprintf("no effect on TCP port %d: without addresses all connections go to %s", h.Port, first.Name),
			"declare each host in a ServiceEntry with addresses, or on another port")
	}
}

// checkDetection warns about a port that was for one TCP host alone until another
// object declared HTTP or TLS on it. Each author learns of the other object.
func checkDetection(h Host, p *sharedPort, r reporter) (warned bool) {
	if slices.Contains(standingPorts(), h.Port) {
		return false
	}
	if h.AnyAddress {
		other, found := firstVisible(h, p.others, func(Host) bool { return true })
		if found {
			r.warn("spec.addresses", "", fmt.Sprintf("ServiceEntry %s/%s declares HTTP or TLS on TCP port %d: requests are matched by Host, TLS by SNI, and servers that send first are not reached",
				other.Meta.Namespace, other.Meta.Name, h.Port), "add addresses, or use another port")
		}
		return found
	}
	if h.Protocol == ProtocolTCP {
		return false
	}
	tcp, found := firstVisible(h, p.tcp, func(t Host) bool { return t.AnyAddress })
	if found {
		r.warn("spec.ports", fmt.Sprint(h.Port), fmt.Sprintf("ServiceEntry %s/%s declares the port as TCP without addresses, and receives only requests with its Host, TLS with its SNI, and other TCP",
			tcp.Meta.Namespace, tcp.Meta.Name), "use another port, or set exportTo to limit it")
	}
	return found
}

// firstVisible is the first of the hosts that some namespace sees together with
// another one.
func firstVisible(with Host, hosts []Host, counts func(Host) bool) (Host, bool) {
	i := slices.IndexFunc(hosts, func(h Host) bool { return counts(h) && h.exports.meets(with.exports) })
	if i < 0 {
		return Host{}, false
	}
	return hosts[i], true
}
