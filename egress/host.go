package egress

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// Protocol is the protocol of a declared port, as far as a sidecar treats it
// differently.
type Protocol uint8

// The protocols of declared ports.
const (
	ProtocolHTTP  Protocol = iota
	ProtocolHTTP2          // HTTP/2 without TLS; gRPC
	ProtocolTLS            // TLS passthrough, chosen by SNI
	ProtocolTCP
)

// IsHTTP reports whether the sidecar reads the requests of the port.
func (p Protocol) IsHTTP() bool { return p == ProtocolHTTP || p == ProtocolHTTP2 }

// Host is one host on one port, as one ServiceEntry declares it.
type Host struct {
	Meta    Meta
	exports exports

	Name     string // httpbin.org or *.example.com; 192.0.2.7 or [2001:db8::7] with Of
	Of       string // the host that requests to an address belong to; empty: not an address
	Port     uint32 // that applications connect to
	Protocol Protocol
	// Endpoints are where the cluster connects to. A wildcard has none, it
	// connects to the requested name; nor has a host with Passthrough.
	Endpoints []Endpoint
	// TargetPort is the port of endpoints that have none of their own.
	TargetPort uint32
	// Addresses are the destinations of a TCP port; an empty list is any. Of a TLS
	// port they are the destinations of connections without SNI; an empty list is
	// none.
	Addresses []netip.Prefix
	// AnyAddress is set where a TCP host is declared without addresses. It is
	// matched by port; on a port that the protocol of connections is detected on,
	// also by name: by the Host of requests and the SNI of TLS.
	AnyAddress bool
	// Shadowed is set where other hosts own all addresses of its TCP port.
	Shadowed bool
	// Unresolved is set where the entry has no resolution. Connections that are
	// matched by one of Addresses keep their original destination.
	Unresolved bool
	// Passthrough keeps the original destination: TCP without resolution.
	Passthrough bool

	// shared is the same host, for all views that have it as it is; nil: of one view.
	shared *Host
}

// share makes views share hosts that they have as they are. Each is allocated by itself: a
// view may be kept for much longer than its model.
func share(hosts []Host) {
	for i := range hosts {
		h := hosts[i]
		h.shared = nil
		hosts[i].shared = &h
	}
}

// kept is the host for a view, which may have fewer of its addresses.
func (h Host) kept() *Host {
	if s := h.shared; s != nil && h.Shadowed == s.Shadowed && len(h.Addresses) == len(s.Addresses) {
		return s
	}
	h.shared = nil
	return &h
}

// ByHost reports whether requests are matched with the host's name, where the
// sidecar detects them.
func (h Host) ByHost() bool { return h.Protocol.IsHTTP() || h.AnyAddress }

// BySNI reports whether TLS connections are matched with the host's name, where the
// sidecar detects them.
func (h Host) BySNI() bool { return h.Protocol == ProtocolTLS || h.AnyAddress }

// OtherPort is the reason for blocking a request whose Host header has another port; name
// is that of the request.
func (h Host) OtherPort(name string) Reason {
	r := Reason{Code: RouteBlockPort, Protocol: ReasonHTTP, Host: name, Port: h.Port}
	if h.TargetPort != h.Port {
		r.TargetPort = h.TargetPort
	}
	return r
}

// at is the host of requests that have an address as their Host.
func (h Host) at(a netip.Addr) Host {
	h.Of = h.Name
	if h.Name = a.String(); a.Is6() {
		h.Name = "[" + h.Name + "]"
	}
	if h.Unresolved {
		h.Endpoints = []Endpoint{{Address: a.String(), Port: h.TargetPort}}
	}
	return h
}

// RoutesName is the name whose routes the host has.
func (h Host) RoutesName() string {
	if h.Of != "" {
		return h.Of
	}
	return h.Name
}

// path is the field of its object that declares the host.
func (h Host) path() string {
	if h.Of != "" {
		return "spec.addresses"
	}
	return "spec.hosts"
}

// Wildcard reports whether the host is *.example.com.
func (h Host) Wildcard() bool { return strings.HasPrefix(h.Name, "*") }

// ClusterName is the name of the host's cluster.
func (h Host) ClusterName() string { return ClusterName(h.Port, h.Name) }

// Static reports whether all endpoints are addresses, which need no DNS.
func (h Host) Static() bool {
	return len(h.Endpoints) > 0 && !slices.ContainsFunc(h.Endpoints, Endpoint.IsName)
}

// SeveralNames reports whether there are several endpoints, and DNS names among
// them.
func (h Host) SeveralNames() bool { return len(h.Endpoints) > 1 && !h.Static() }

// SingleName is the one DNS name that the host resolves to: its own, or that of
// its only endpoint.
func (h Host) SingleName() (Endpoint, bool) {
	if len(h.Endpoints) == 1 && h.Endpoints[0].IsName() {
		return h.Endpoints[0], true
	}
	return Endpoint{}, false
}

// Endpoint is an address or a DNS name, and a port.
type Endpoint struct {
	Address string
	Port    uint32
	Weight  uint32 // 0: not specified
}

// IsName reports whether the endpoint is a DNS name.
func (e Endpoint) IsName() bool {
	_, err := netip.ParseAddr(e.Address)
	return err != nil
}

func compareHosts(a, b Host) int {
	return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Name, b.Name))
}
