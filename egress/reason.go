package egress

import (
	"fmt"
	"net/netip"
	"strings"
)

// The protocols of a Reason.
const (
	ReasonHTTP = "HTTP" // matched by Host
	ReasonTLS  = "TLS"  // by SNI
	ReasonTCP  = "TCP"  // by address
)

// Reason is why requests and connections to a destination that is not declared are
// blocked, or forwarded as all others. Responses, events, `outrider explain` and `outrider
// egress verify` have its words, which are the same in all namespaces.
type Reason struct {
	// Code is RouteBlockAll, RouteBlockPort or RouteAllowAny. Access logs and reports have
	// it, too.
	Code     string
	Protocol string
	Host     string // empty: "it"
	Port     uint32 // 0: "this port"
	// TargetPort is that of the declared host, if it is another one; of RouteBlockPort.
	TargetPort uint32
	// Limited is View.Limited.
	Limited bool
}

// Rule is what is not met.
func (r Reason) Rule() string {
	host, port := r.Host, "this port"
	if host == "" {
		host = "it"
	}
	if r.Port != 0 {
		port = fmt.Sprintf("port %d", r.Port)
	}
	switch {
	case r.Code == RouteBlockPort && r.TargetPort != 0:
		return fmt.Sprintf("a ServiceEntry declares %s on %s with targetPort %d, and the Host header has a port", host, port, r.TargetPort)
	case r.Code == RouteBlockPort:
		return fmt.Sprintf("a ServiceEntry declares %s on %s, and the Host header has another port", host, port)
	case r.Limited:
		return fmt.Sprintf("no ServiceEntry visible to this workload through its Sidecar declares %s for %s on %s", host, r.Protocol, port)
	}
	return fmt.Sprintf("no ServiceEntry visible to this namespace declares %s for %s on %s", host, r.Protocol, port)
}

// Fix is what to do about a block. It has no name that a client has chosen: people copy
// commands.
func (r Reason) Fix() string {
	switch {
	case r.Code == RouteBlockPort:
		return "send the Host header without a port"
	case r.Limited:
		return "to allow it, expose a ServiceEntry for it in egress.hosts of the Sidecar"
	case r.Protocol == ReasonTLS:
		return "to allow it, apply what outrider egress allow HOST:PORT prints"
	case r.Protocol == ReasonTCP:
		return "to allow it, apply what outrider egress allow tcp://ADDRESS:PORT prints"
	}
	return "to allow it, apply what outrider egress allow http://HOST:PORT prints"
}

// Text is the rule and what to do about it.
func (r Reason) Text() string { return r.Rule() + "; " + r.Fix() }

// BlockedRule is the rule about any of several destinations of a workload. What is visible to
// a workload is what a Sidecar exposes of what is visible to its namespace.
func BlockedRule(code string) string {
	if code == RouteBlockPort {
		return "the Host header has another port than the declared one"
	}
	return "no ServiceEntry visible to this workload declares it"
}

// maxListed are the bytes of hosts in a note: the events API allows 1,024 in all.
const maxListed = 600

// BlockedNote is the text of an Event about blocked destinations of a workload, and more that
// are not among them.
func BlockedNote(namespace string, all []Reason, more int) string {
	var b strings.Builder
	listed := 0
	for _, code := range []string{RouteBlockAll, RouteBlockPort} {
		var hosts []string
		for _, r := range all {
			if r.Code != code {
				continue
			}
			text := fmt.Sprintf("%s:%d (%s)", r.Host, r.Port, r.Protocol)
			if a, err := netip.ParseAddr(r.Host); err == nil {
				text = fmt.Sprintf("%s (%s)", netip.AddrPortFrom(a, uint16(r.Port)), r.Protocol)
			}
			if listed+len(text) > maxListed {
				more++
				continue
			}
			listed += len(text)
			hosts = append(hosts, text)
		}
		if len(hosts) == 0 {
			continue
		}
		fmt.Fprintf(&b, "blocked (%s), %s: %s; ", code, BlockedRule(code), strings.Join(hosts, ", "))
	}
	if more > 0 {
		fmt.Fprintf(&b, "and %d more; ", more)
	}
	fmt.Fprintf(&b, "see outrider egress verify -n %s", namespace)
	return b.String()
}
