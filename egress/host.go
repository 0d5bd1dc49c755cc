package egress

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// Protocol is what a declared port speaks, as far as the sidecar cares.
type Protocol uint8

const (
	protocolHTTP  Protocol = iota
	protocolHTTP2          // HTTP/2 without TLS; gRPC
	protocolTLS            // told by SNI and passed on as it is
	protocolTCP
)

func (p Protocol) IsHTTP() bool { return p == protocolHTTP || p == protocolHTTP2 }

// Host is one host on one port, as one ServiceEntry declares it.
type Host struct {
	Meta    Meta
	exports exports

	Name     string // httpbin.org or *.example.com
	Port     uint32 // as the application dials it
	Protocol Protocol
	// endpoints are where the cluster leads; none for a wildcard, which leads to
	// the name that was asked for, and for passthrough.
	Endpoints []Endpoint
	// target is the port that connections go to where no endpoint has another.
	TargetPort uint32
	// addresses are the destinations of a TCP port; none stands for any.
	Addresses []netip.Prefix
	// shadowed says that other hosts have all of its TCP port's addresses.
	Shadowed bool
	// passthrough keeps the address that was dialled: TCP without resolution.
	Passthrough bool
}

func (h Host) Wildcard() bool { return strings.HasPrefix(h.Name, "*") }

func (h Host) ClusterName() string { return clusterName(h.Port, h.Name) }

// Static says that all endpoints are addresses and need no resolution.
func (h Host) Static() bool {
	return len(h.Endpoints) > 0 && !slices.ContainsFunc(h.Endpoints, func(e Endpoint) bool { return e.IsName() })
}

// hasCluster says that the host has a cluster, which is fetched by name. Bytes for a
// name go through namesCluster.
func (h Host) hasCluster() bool { return h.Protocol.IsHTTP() || h.Passthrough || h.Static() }

// SeveralNames says that there are several endpoints, and names among them.
func (h Host) SeveralNames() bool { return len(h.Endpoints) > 1 && !h.Static() }

// SingleName gives the one name that the host leads to: its own, or that of its only
// endpoint.
func (h Host) SingleName() (Endpoint, bool) {
	if len(h.Endpoints) == 1 && h.Endpoints[0].IsName() {
		return h.Endpoints[0], true
	}
	return Endpoint{}, false
}

// Endpoint is an address or a name to resolve, and a port.
type Endpoint struct {
	Address string
	Port    uint32
	Weight  uint32 // 0: not given
}

func (e Endpoint) IsName() bool {
	_, err := netip.ParseAddr(e.Address)
	return err != nil
}

func compareHosts(a, b Host) int {
	return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Name, b.Name))
}
