package redirect

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/outrider-mesh/outrider/cidr"
)

// Connection is a connection about to leave a container of the pod.
type Connection struct {
	Protocol    string // "tcp", "udp", …; empty means tcp
	Destination netip.AddrPort
	UID, GID    uint32 // owner of the socket
	// Interface is where the pod's routing sends the destination before any
	// capture: "lo" for loopback and for the pod's own addresses, "eth0" for
	// most others. Empty means: lo for loopback addresses, else eth0.
	Interface string
}

// Decision is where a connection goes, and why.
type Decision struct {
	Captured    bool
	Destination netip.AddrPort // after the decision: the proxy's, or as addressed
	Reason      Reason
	Detail      string // what matched: a range, port, interface or id; may be empty
}

// Decide is what the rules of a configuration do with a connection, on a kernel
// with both address families.
func Decide(c Config, conn Connection) Decision {
	return NewPlan(c, Inet).Decide(conn)
}

// Decide follows the rules as the kernel does.
func (p Plan) Decide(conn Connection) Decision {
	conn = complete(conn)
	d := Decision{Destination: conn.Destination, Reason: ReasonNotIncluded}
	if len(p.Rules) == 0 {
		d.Reason = ReasonNoRules
		return d
	}
	if p.Family == IPv4Only && !conn.Destination.Addr().Is4() {
		return d
	}
	for _, r := range p.Rules {
		detail, ok := r.Match.matches(conn)
		if !ok {
			continue
		}
		d.Reason, d.Detail, d.Captured = r.Reason, detail, r.Capture
		if r.Capture {
			d.Destination = netip.AddrPortFrom(loopbackOf(conn.Destination.Addr()), p.ProxyPort)
		}
		return d
	}
	return d
}

func complete(conn Connection) Connection {
	addr := conn.Destination.Addr().Unmap().WithZone("")
	conn.Destination = netip.AddrPortFrom(addr, conn.Destination.Port())
	if conn.Protocol == "" {
		conn.Protocol = "tcp"
	}
	if conn.Interface == "" {
		conn.Interface = "eth0"
		if addr.IsLoopback() {
			conn.Interface = "lo"
		}
	}
	return conn
}

func loopbackOf(a netip.Addr) netip.Addr {
	if a.Is4() {
		return loopback4
	}
	return loopback6
}

func (m Match) matches(c Connection) (detail string, ok bool) {
	switch m.On {
	case Always:
		return "", true
	case NotTCP:
		return c.Protocol, c.Protocol != "tcp"
	case Interface:
		return c.Interface, matchesInterface(m.Interface, c.Interface)
	case UID:
		return fmt.Sprint(c.UID), m.ID == c.UID
	case GID:
		return fmt.Sprint(c.GID), m.ID == c.GID
	case Address:
		return m.Addr.String(), m.Addr == c.Destination.Addr()
	case InSet:
		return m.Set.matches(c)
	}
	return "", false
}

func matchesInterface(pattern, name string) bool {
	if prefix, any := strings.CutSuffix(pattern, "+"); any {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

func (s *Set) matches(c Connection) (detail string, ok bool) {
	if s.Kind == SetPorts {
		return fmt.Sprint(c.Destination.Port()), s.Ports.Contains(c.Destination.Port())
	}
	a := c.Destination.Addr()
	if a.Is4() != (s.Kind == SetIPv4) || !s.Ranges.Contains(a) {
		return "", false
	}
	return rangeOf(s.Ranges, a), true
}

// rangeOf is the range of the cover that holds a: the widest block of the list
// around it.
func rangeOf(l cidr.List, a netip.Addr) string {
	for bits := range a.BitLen() + 1 {
		if p := netip.PrefixFrom(a, bits).Masked(); l.ContainsPrefix(p) {
			return p.String()
		}
	}
	return ""
}

var sentences = map[Reason]string{
	ReasonNotTCP:            "only TCP is captured, not %s",
	ReasonExcludedInterface: "its outbound interface %s is excluded",
	ReasonExcludedPort:      "port %s is excluded",
	ReasonProxyUser:         "its owner is the proxy's user %s",
	ReasonProxyGroup:        "its owner is in the proxy's group %s",
	ReasonLoopbackInterface: "it stays inside the pod, on interface %s",
	ReasonLoopbackAddress:   "%s is the pod's own address",
	ReasonExcludedRange:     "its address is in the excluded range %s",
	ReasonIncludedPort:      "port %s is included",
	ReasonEverything:        "everything is included",
	ReasonIncludedRange:     "its address is in the included range %s",
	ReasonNotIncluded:       "neither its address nor its port is included",
	ReasonNoRules:           "the pod has no rules (mode NONE)",
}

// Why is the rule that decides, as a sentence.
func (d Decision) Why() string {
	why := sentences[d.Reason]
	if strings.Contains(why, "%s") {
		why = fmt.Sprintf(why, d.Detail)
	}
	return why
}

// String is where the connection goes and the rule that decides, as a sentence.
func (d Decision) String() string {
	if d.Captured {
		return fmt.Sprintf("captured to %s: %s", d.Destination, d.Why())
	}
	return "bypasses the proxy: " + d.Why()
}
