package egress

import (
	"fmt"
	"slices"

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
	warned := map[place]bool{}
	for _, h := range m.hosts {
		at, p, r := place{h.Meta, h.Port}, ports[h.Port], reporter{KindServiceEntry, h.Meta, problems}
		if p == nil {
			continue
		}
		if !warned[at] {
			warned[at] = checkDetection(h, p, r)
		}
		checkSiblings(h, p, r)
	}
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
