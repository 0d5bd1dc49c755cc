package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// detection returns what reports whether the sidecars of a namespace detect the
// protocol of connections to a port.
func (m *Model) detection() func(port uint32, namespace string) bool {
	byPort := sync.OnceValue(func() map[uint32]*audience {
		out := map[uint32]*audience{}
		for i, h := range m.hosts {
			if h.Protocol == ProtocolTCP {
				continue
			}
			if out[h.Port] == nil {
				out[h.Port] = &audience{}
			}
			out[h.Port].add(i, m.applies(h))
		}
		return out
	})
	return func(port uint32, namespace string) bool {
		if slices.Contains(standingPorts(), port) {
			return true
		}
		a := byPort()[port]
		if a == nil {
			return false
		}
		_, found := a.meeting(exports{namespaces: []string{namespace}})
		return found
	}
}

// applies are the namespaces in which a host applies beside others on its port: its
// own, or, of the root namespace, those that it is exported to. In all others one of
// the two takes precedence.
func (m *Model) applies(h Host) exports {
	own := h.Meta.Namespace
	if own == m.mesh.rootNamespace && !h.AnyAddress {
		return h.exports
	}
	if !h.exports.to(own) {
		return exports{}
	}
	return exports{namespaces: []string{own}}
}

// sharedPort are the hosts of a port that has one for TCP.
type sharedPort struct {
	firstTCP           map[Meta]int // of each entry
	anyAddress, others audience
	onlyTCP            bool
	overlaps           overlaps
}

// sharedPorts are the ports with TCP hosts.
func (m *Model) sharedPorts() map[uint32]*sharedPort {
	ports, routed := map[uint32]*sharedPort{}, m.routedBySNI()
	for i, h := range m.hosts {
		if h.Protocol != ProtocolTCP {
			continue
		}
		p := ports[h.Port]
		if p == nil {
			p = &sharedPort{
				firstTCP: map[Meta]int{}, onlyTCP: true,
				overlaps: overlaps{routed: routed, first: map[int]netip.Prefix{}, of: map[netip.Prefix]*overlap{}, lengths: map[int][]int{}},
			}
			ports[h.Port] = p
		}
		p.overlaps.addTCP(i, h, m.applies(h))
		if h.AnyAddress {
			p.anyAddress.add(i, m.applies(h))
		}
		if _, has := p.firstTCP[h.Meta]; !has {
			p.firstTCP[h.Meta] = i
		}
	}
	if len(ports) == 0 {
		return nil
	}
	for i, h := range m.hosts {
		if p := ports[h.Port]; p != nil && h.Protocol != ProtocolTCP {
			p.onlyTCP = false
			p.others.add(i, m.applies(h))
			p.overlaps.addOther(i, h)
		}
	}
	return ports
}

// checkSharedPorts warns about TCP hosts and hosts of other protocols that affect
// each other, because some namespace sees both on one port.
func (m *Model) checkSharedPorts(problems *problem.List) {
	ports := m.sharedPorts()
	if len(ports) == 0 {
		return
	}
	type place struct {
		meta Meta
		port uint32
	}
	warned, hidden := map[place]bool{}, map[place]bool{}
	for _, h := range m.hosts {
		at, p, r := place{h.Meta, h.Port}, ports[h.Port], reporter{KindServiceEntry, h.Meta, problems}
		if p == nil {
			continue
		}
		if !warned[at] {
			warned[at] = m.checkDetection(h, p, r)
		}
		if !hidden[at] {
			hidden[at] = m.checkHidden(h, p, r)
		}
		m.checkSiblings(h, p, r)
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
// route applies to it.
func (m *Model) checkHidden(h Host, p *sharedPort, r reporter) (warned bool) {
	if h.Protocol == ProtocolTCP {
		i, prefix, found := p.overlaps.otherOf(h, m.applies(h))
		if found {
			other := m.hosts[i]
			r.warn("spec.addresses", prefix.String(), fmt.Sprintf("hides the routes of %s of ServiceEntry %s/%s: connections to these addresses on port %d are not matched by Host or SNI",
				other.RoutesName(), other.Meta.Namespace, other.Meta.Name, h.Port), "use single addresses of the TCP host, or another port")
		}
		return found
	}
	i, prefix, found := p.overlaps.tcpOf(h, m.applies(h))
	if found {
		tcp := m.hosts[i]
		r.warn("spec.ports", fmt.Sprint(h.Port), fmt.Sprintf("routes of %s do not apply to connections to %s: ServiceEntry %s/%s declares these addresses as TCP",
			h.RoutesName(), prefix, tcp.Meta.Namespace, tcp.Meta.Name), "use another port, or set exportTo to limit one of the entries")
	}
	return found
}

// checkSiblings warns about a TCP host without addresses that another one of its
// entry leaves nothing to.
func (m *Model) checkSiblings(h Host, p *sharedPort, r reporter) {
	if !h.AnyAddress || !p.onlyTCP || slices.Contains(standingPorts(), h.Port) {
		return
	}
	first := m.hosts[p.firstTCP[h.Meta]]
	if first.Name != h.Name && !slices.Equal(first.Endpoints, h.Endpoints) {
		r.warn("spec.hosts", h.Name, fmt.Sprintf("no effect on TCP port %d: without addresses all connections go to %s", h.Port, first.Name),
			"declare each host in a ServiceEntry with addresses, or on another port")
	}
}

// checkDetection warns about a port that was for one TCP host alone until another
// object declared HTTP or TLS on it. Each author learns of the other object.
func (m *Model) checkDetection(h Host, p *sharedPort, r reporter) (warned bool) {
	if slices.Contains(standingPorts(), h.Port) {
		return false
	}
	if h.AnyAddress {
		i, found := p.others.meeting(m.applies(h))
		if found {
			other := m.hosts[i].Meta
			r.warn("spec.addresses", "", fmt.Sprintf("ServiceEntry %s/%s declares HTTP or TLS on TCP port %d: requests are matched by Host, TLS by SNI, and servers that send first are not reached",
				other.Namespace, other.Name, h.Port), "add addresses, or use another port")
		}
		return found
	}
	if h.Protocol == ProtocolTCP {
		return false
	}
	i, found := p.anyAddress.meeting(m.applies(h))
	if found {
		tcp := m.hosts[i].Meta
		r.warn("spec.ports", fmt.Sprint(h.Port), fmt.Sprintf("ServiceEntry %s/%s declares the port as TCP without addresses, and receives only requests with its Host, TLS with its SNI, and other TCP",
			tcp.Namespace, tcp.Name), "use another port, or set exportTo to limit it")
	}
	return found
}
