package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The protocols that a sidecar tells apart.
const (
	ProtocolHTTP = "http" // without TLS
	ProtocolTLS  = "tls"
	ProtocolTCP  = "tcp" // neither, or a client that waits for the server
)

// Request is what an application sends, as far as a sidecar looks at it.
type Request struct {
	Address    netip.Addr // that was dialled
	Port       uint16
	Protocol   string // ProtocolHTTP, ProtocolTLS or ProtocolTCP
	ServerName string // of TLS

	// Of HTTP:
	Method    string
	Authority string              // the Host, with a port if it has one
	Path      string              // with its query
	Header    map[string][]string // by name in any case
}

// The kinds of decisions.
const (
	Passed   = "passed"   // on to one of Clusters
	Answered = "answered" // by the sidecar, with Status
	Closed   = "closed"   // the connection
)

// Decision is where a request goes, and why.
type Decision struct {
	Kind     string            // Passed, Answered or Closed
	Clusters []WeightedCluster // as the access log names them
	// Status is what the sidecar answers itself; 0 for what is passed on.
	Status   int
	Location string // of a redirection
	// Route is the route's name in the access log.
	Route string
	// Authority and Path are what the destination gets, where HTTP is passed on.
	Authority, Path string
	Timeout         time.Duration // 0: none
	Mirrors         []WeightedCluster
	// Reason says why, with the objects that had a part in it.
	Reason string
}

// WeightedCluster is one cluster and its part.
type WeightedCluster struct {
	Cluster string
	Weight  uint32 // of the sum of all
	// To are the names or addresses with their ports that it leads to; none for
	// the address that was dialled.
	To []string
	// Authority is the Host that this cluster's requests have, if it is not that
	// of the decision.
	Authority string
}

// Decide says where a request goes. It follows the objects and not the
// configuration that is made of them: the two are held against each other by
// requests through a real sidecar.
func (v *View) Decide(r Request) Decision {
	r.Address = r.Address.Unmap()
	if uint32(r.Port) == v.mesh.ListenPort {
		return Decision{Kind: Closed, Reason: fmt.Sprintf("port %d is the sidecar's own", r.Port)}
	}
	if v.isInCluster(r.Address, r.Port) {
		return dialled("%s is in the cluster", netip.AddrPortFrom(r.Address, r.Port))
	}
	p := Port{Number: uint32(r.Port)}
	for _, known := range v.Ports() {
		if known.Number == p.Number {
			return v.decideOn(known, r)
		}
	}
	if r.Protocol == ProtocolHTTP {
		return v.restHTTP(r)
	}
	return v.restBytes(fmt.Sprintf("nothing is declared on port %d", r.Port))
}

func dialled(format string, args ...any) Decision {
	return Decision{Kind: Passed, Clusters: []WeightedCluster{{Cluster: PassthroughCluster, Weight: 1}}, Reason: fmt.Sprintf(format, args...)}
}

func (v *View) isInCluster(a netip.Addr, port uint16) bool {
	for _, d := range v.inCluster {
		if d.Address == a && (len(d.Ports) == 0 || slices.Contains(d.Ports, port)) {
			return true
		}
	}
	return false
}

// restBytes is for connections to what is not declared.
func (v *View) restBytes(why string) Decision {
	if v.mesh.RegistryOnly {
		return Decision{Kind: Closed, Clusters: []WeightedCluster{{Cluster: BlackHoleCluster, Weight: 1}}, Reason: why + ", and mode REGISTRY_ONLY closes what is not declared"}
	}
	return dialled("%s, and mode ALLOW_ANY passes on what is not declared", why)
}

// restHTTP is for requests to what is not declared.
func (v *View) restHTTP(r Request) Decision {
	why := fmt.Sprintf("no ServiceEntry declares host %s on port %d", hostOf(r.Authority), r.Port)
	if v.mesh.RegistryOnly {
		return Decision{Kind: Answered, Status: http502, Route: routeBlock, Reason: why + ", and mode REGISTRY_ONLY answers so what is not declared"}
	}
	d := dialled("%s, and mode ALLOW_ANY passes on what is not declared", why)
	d.Route, d.Authority, d.Path = routeAllow, r.Authority, normalPath(r.Path)
	return d
}

// decideOn decides on a port with declared hosts.
func (v *View) decideOn(p Port, r Request) Decision {
	if h, ok := p.byAddress(r.Address); ok {
		return v.toHostDecision(h, r, fmt.Sprintf("%s is an address of it", r.Address))
	}
	switch {
	case p.OnlyTCP() || r.Protocol == ProtocolTCP:
		for _, h := range p.Hosts {
			if h.Protocol == protocolTCP && !h.Shadowed && len(h.Addresses) == 0 {
				return v.toHostDecision(h, r, fmt.Sprintf("it has port %d for all addresses", p.Number))
			}
		}
		return v.restBytes(fmt.Sprintf("no ServiceEntry declares %s on port %d", r.Address, r.Port))
	case r.Protocol == ProtocolTLS:
		return v.decideSNI(p, r)
	}
	return v.decideHTTP(p, r)
}

// byAddress finds the TCP host whose range is the closest around an address.
func (p Port) byAddress(a netip.Addr) (found Host, ok bool) {
	bits := -1
	for _, h := range p.Hosts {
		for _, prefix := range h.Addresses {
			if h.Protocol == protocolTCP && !h.Shadowed && prefix.Contains(a) && prefix.Bits() > bits {
				found, ok, bits = h, true, prefix.Bits()
			}
		}
	}
	return found, ok
}

// toHostDecision passes a connection on to a declared host.
func (v *View) toHostDecision(h Host, r Request, why string) Decision {
	share := WeightedCluster{Cluster: h.ClusterName(), Weight: 1, To: h.endpointAddresses()}
	if len(h.Endpoints) == 0 && !h.Passthrough {
		share.To = []string{fmt.Sprintf("%s:%d", strings.ToLower(r.ServerName), h.TargetPort)}
	}
	return Decision{Kind: Passed, Clusters: []WeightedCluster{share}, Reason: fmt.Sprintf("ServiceEntry %s/%s declares %s, and %s", h.Meta.Namespace, h.Meta.Name, h.Name, why)}
}

// endpointAddresses are a host's endpoints.
func (h Host) endpointAddresses() []string {
	var out []string
	for _, e := range h.Endpoints {
		out = append(out, joinPort(e.Address, e.Port))
	}
	return out
}

func joinPort(address string, port uint32) string {
	if a, err := netip.ParseAddr(address); err == nil {
		return netip.AddrPortFrom(a, uint16(port)).String()
	}
	return fmt.Sprintf("%s:%d", address, port)
}

// decideSNI decides by the name that a TLS client asks for.
func (v *View) decideSNI(p Port, r Request) Decision {
	name := strings.ToLower(r.ServerName)
	if name == "" {
		return v.restBytes("the client asks for no name")
	}
	hosts, routes := map[string]Host{}, map[string]SNIRoute{}
	for _, h := range p.Hosts {
		if h.Protocol == protocolTLS {
			hosts[h.Name] = h
		}
	}
	all := map[string]bool{}
	for n := range hosts {
		all[n] = true
	}
	for _, s := range v.sni {
		for _, n := range s.Names {
			if s.Port == p.Number {
				routes[n], all[n] = s, true
			}
		}
	}
	found, ok := closestName(all, name)
	if !ok {
		return v.restBytes(fmt.Sprintf("no ServiceEntry declares %s as TLS on port %d", name, r.Port))
	}
	s, routed := routes[found]
	if !routed {
		return v.toHostDecision(hosts[found], r, "the client asks for "+name)
	}
	d := Decision{Kind: Passed, Reason: fmt.Sprintf("%s of VirtualService %s/%s takes %s", s.Route.Path, s.By.Namespace, s.By.Name, found)}
	for i, l := range v.sniDestinations(s) {
		t := s.Route.Destinations[i]
		if t.Weight == 0 {
			continue
		}
		d.Clusters = append(d.Clusters, l.weighted(t, name))
		if l.Fault != "" {
			d.Reason += "; " + l.Fault
		}
	}
	if !slices.ContainsFunc(d.Clusters, func(s WeightedCluster) bool { return s.Cluster != BlackHoleCluster }) {
		d.Kind = Closed
	}
	return d
}

// closestName gives the name itself, or the longest wildcard around it.
func closestName(names map[string]bool, name string) (string, bool) {
	for n := range wider(name) {
		if names[n] {
			return n, true
		}
	}
	return "", false
}

// weighted is a destination's part of a route, as a request for a name sees it.
func (l Destination) weighted(t RouteDestination, name string) WeightedCluster {
	s := WeightedCluster{Cluster: l.ClusterName(), Weight: t.Weight, Authority: authorityOf(t.Headers)}
	switch to, ok := l.ResolvedName(); {
	case l.Fault != "":
	case ok:
		s.To = []string{joinPort(to.Address, to.Port)}
	case l.ByRequest():
		s.To = []string{joinPort(name, l.Host.TargetPort)}
	default:
		s.To = l.Host.endpointAddresses()
	}
	return s
}

// hostOf is an authority in lower case without its port.
func hostOf(authority string) string {
	name := strings.ToLower(authority)
	if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.HasSuffix(name, "]") {
		name = name[:i]
	}
	return name
}
