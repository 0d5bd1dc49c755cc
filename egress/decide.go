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
	Kind     string  // Passed, Answered or Closed
	Clusters []Share // as the access log names them
	// Status is what the sidecar answers itself; 0 for what is passed on.
	Status   int
	Location string // of a redirection
	// Route is the route's name in the access log.
	Route string
	// Authority and Path are what the destination gets, where HTTP is passed on.
	Authority, Path string
	Timeout         time.Duration // 0: none
	Mirrors         []Share
	// Reason says why, with the objects that had a part in it.
	Reason string
}

// Share is one cluster and its part.
type Share struct {
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
	if uint32(r.Port) == v.mesh.listenPort {
		return Decision{Kind: Closed, Reason: fmt.Sprintf("port %d is the sidecar's own", r.Port)}
	}
	if v.isInCluster(r.Address, r.Port) {
		return dialled("%s is in the cluster", netip.AddrPortFrom(r.Address, r.Port))
	}
	p := port{number: uint32(r.Port)}
	for _, known := range v.ports() {
		if known.number == p.number {
			return v.decideOn(known, r)
		}
	}
	if r.Protocol == ProtocolHTTP {
		return v.restHTTP(r)
	}
	return v.restBytes(fmt.Sprintf("nothing is declared on port %d", r.Port))
}

func dialled(format string, args ...any) Decision {
	return Decision{Kind: Passed, Clusters: []Share{{Cluster: PassthroughCluster, Weight: 1}}, Reason: fmt.Sprintf(format, args...)}
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
	if v.mesh.registryOnly {
		return Decision{Kind: Closed, Clusters: []Share{{Cluster: BlackHoleCluster, Weight: 1}}, Reason: why + ", and mode REGISTRY_ONLY closes what is not declared"}
	}
	return dialled("%s, and mode ALLOW_ANY passes on what is not declared", why)
}

// restHTTP is for requests to what is not declared.
func (v *View) restHTTP(r Request) Decision {
	why := fmt.Sprintf("no ServiceEntry declares host %s on port %d", hostOf(r.Authority), r.Port)
	if v.mesh.registryOnly {
		return Decision{Kind: Answered, Status: http502, Route: routeBlock, Reason: why + ", and mode REGISTRY_ONLY answers so what is not declared"}
	}
	d := dialled("%s, and mode ALLOW_ANY passes on what is not declared", why)
	d.Route, d.Authority, d.Path = routeAllow, r.Authority, normalPath(r.Path)
	return d
}

// decideOn decides on a port with declared hosts.
func (v *View) decideOn(p port, r Request) Decision {
	if h, ok := p.byAddress(r.Address); ok {
		return v.toHostDecision(h, r, fmt.Sprintf("%s is an address of it", r.Address))
	}
	switch {
	case p.onlyTCP() || r.Protocol == ProtocolTCP:
		for _, h := range p.hosts {
			if h.protocol == protocolTCP && !h.shadowed && len(h.addresses) == 0 {
				return v.toHostDecision(h, r, fmt.Sprintf("it has port %d for all addresses", p.number))
			}
		}
		return v.restBytes(fmt.Sprintf("no ServiceEntry declares %s on port %d", r.Address, r.Port))
	case r.Protocol == ProtocolTLS:
		return v.decideSNI(p, r)
	}
	return v.decideHTTP(p, r)
}

// byAddress finds the TCP host whose range is the closest around an address.
func (p port) byAddress(a netip.Addr) (found host, ok bool) {
	bits := -1
	for _, h := range p.hosts {
		for _, prefix := range h.addresses {
			if h.protocol == protocolTCP && !h.shadowed && prefix.Contains(a) && prefix.Bits() > bits {
				found, ok, bits = h, true, prefix.Bits()
			}
		}
	}
	return found, ok
}

// toHostDecision passes a connection on to a declared host.
func (v *View) toHostDecision(h host, r Request, why string) Decision {
	share := Share{Cluster: h.cluster(), Weight: 1, To: h.leadsTo()}
	if len(h.endpoints) == 0 && !h.passthrough {
		share.To = []string{fmt.Sprintf("%s:%d", strings.ToLower(r.ServerName), h.target)}
	}
	return Decision{Kind: Passed, Clusters: []Share{share}, Reason: fmt.Sprintf("ServiceEntry %s/%s declares %s, and %s", h.meta.Namespace, h.meta.Name, h.name, why)}
}

// leadsTo are a host's endpoints.
func (h host) leadsTo() []string {
	var out []string
	for _, e := range h.endpoints {
		out = append(out, joinPort(e.address, e.port))
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
func (v *View) decideSNI(p port, r Request) Decision {
	name := strings.ToLower(r.ServerName)
	if name == "" {
		return v.restBytes("the client asks for no name")
	}
	hosts, routes := map[string]host{}, map[string]sniRoute{}
	for _, h := range p.hosts {
		if h.protocol == protocolTLS {
			hosts[h.name] = h
		}
	}
	all := map[string]bool{}
	for n := range hosts {
		all[n] = true
	}
	for _, s := range v.sni {
		for _, n := range s.names {
			if s.port == p.number {
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
	d := Decision{Kind: Passed, Reason: fmt.Sprintf("%s of VirtualService %s/%s takes %s", s.route.path, s.by.Namespace, s.by.Name, found)}
	for i, l := range v.leads(s) {
		t := s.route.to[i]
		if t.weight == 0 {
			continue
		}
		d.Clusters = append(d.Clusters, l.share(t, name))
		if l.fault != "" {
			d.Reason += "; " + l.fault
		}
	}
	if !slices.ContainsFunc(d.Clusters, func(s Share) bool { return s.Cluster != BlackHoleCluster }) {
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

// share is a destination's part of a route, as a request for a name sees it.
func (l lead) share(t target, name string) Share {
	s := Share{Cluster: l.cluster(), Weight: t.weight, Authority: authorityOf(t.headers)}
	switch to, ok := l.resolved(); {
	case l.fault != "":
	case ok:
		s.To = []string{joinPort(to.address, to.port)}
	case l.byRequest():
		s.To = []string{joinPort(name, l.host.target)}
	default:
		s.To = l.host.leadsTo()
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
