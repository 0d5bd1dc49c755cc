package egress

import "slices"

// standingPorts always have a listener: the first ServiceEntry for a port with a
// listener disturbs no connection.
func standingPorts() []uint32 { return []uint32{80, 443} }

// PortRange are the ports from First to Last.
type PortRange struct{ First, Last uint32 }

// DetectedPorts are the ports on which sidecars detect HTTP and TLS although nothing
// is declared on them: common ports of HTTP, and those of protocols that begin with
// TLS (SMTP, LDAP, DNS, IMAP, POP3, SIP, AMQP, MQTT, Kubernetes). Detection reads the
// client's first bytes, which costs other protocols: a connection waits for them, and
// is reset where the client closes its side before it is detected. On all other ports
// a connection to what is not declared is TCP.
func DetectedPorts() []PortRange {
	return []PortRange{
		{465, 465}, {636, 636}, {853, 853}, {989, 990}, {992, 995}, {3000, 3000}, {5000, 5000}, {5061, 5061}, {5671, 5671}, {6443, 6443},
		{8000, 8099}, {8443, 8443}, {8883, 8883}, {8888, 8888}, {9090, 9090}, {9443, 9443},
	}
}

// Detected reports whether sidecars detect the protocol of connections to a port
// without a listener.
func Detected(port uint32) bool {
	return slices.ContainsFunc(DetectedPorts(), func(r PortRange) bool { return r.First <= port && port <= r.Last })
}

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
