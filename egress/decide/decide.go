package decide

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/egress"
)

// Decide returns where a request goes from a sidecar with a view.
func Decide(v *egress.View, r Request) Decision {
	r.Address = r.Address.Unmap()
	if uint32(r.Port) == v.Mesh().ListenPort {
		return Decision{Kind: Closed, Reason: fmt.Sprintf("port %d is reserved by the sidecar", r.Port), Rules: []Rule{{Kind: RuleSidecar}}}
	}
	if isInCluster(v, r.Address, r.Port) {
		return originalDestination(netip.AddrPortFrom(r.Address, r.Port).String()+" is in the cluster", RuleInCluster)
	}
	for _, p := range v.Ports() {
		if p.Number == uint32(r.Port) {
			return decideOn(v, p, r)
		}
	}
	if r.Protocol == HTTP && egress.Detected(uint32(r.Port)) {
		return undeclaredHTTP(v, r)
	}
	return undeclared(v, r, "")
}

func isInCluster(v *egress.View, a netip.Addr, port uint16) bool {
	for _, d := range v.InCluster() {
		if d.Address == a && (len(d.Ports) == 0 || slices.Contains(d.Ports, port)) {
			return true
		}
	}
	return false
}

// undeclared decides about connections to what is not declared; further is a part of the
// reason.
func undeclared(v *egress.View, r Request, further string) Decision {
	why := egress.Reason{Protocol: egress.ReasonTCP, Host: r.Address.String()}
	switch r.Protocol {
	case TLS:
		why.Protocol, why.Host = egress.ReasonTLS, cmp.Or(r.ServerName, why.Host)
	case HTTP:
		further = "; HTTP is not detected there"
	}
	return byPolicy(v, r, why, further)
}

// decideOn decides on a port with a listener of its own.
func decideOn(v *egress.View, p egress.Port, r Request) Decision {
	if h, ok := byAddress(p, egress.ProtocolTCP, r.Address); ok {
		return toHost(h, r, fmt.Sprintf("%s is in its addresses", r.Address))
	}
	switch {
	case p.OnlyTCP() || r.Protocol == TCP:
		for _, h := range p.Hosts {
			if h.AnyAddress && !h.Shadowed {
				return toHost(h, r, fmt.Sprintf("it has all addresses of TCP port %d", p.Number))
			}
		}
		return undeclared(v, r, "")
	case r.Protocol == TLS:
		return decideSNI(v, p, r)
	}
	return decideHTTP(v, p, r)
}

// byAddress finds the host of a protocol with the closest range around an address.
func byAddress(p egress.Port, protocol egress.Protocol, a netip.Addr) (found egress.Host, ok bool) {
	bits := -1
	for _, h := range p.Hosts {
		for _, prefix := range h.Addresses {
			if h.Protocol == protocol && !h.Shadowed && prefix.Contains(a) && prefix.Bits() > bits {
				found, ok, bits = h, true, prefix.Bits()
			}
		}
	}
	return found, ok
}

// toHost forwards a connection to a declared host.
func toHost(h egress.Host, r Request, why string) Decision {
	w := WeightedCluster{Cluster: h.ClusterName(), Weight: 1, To: endpointsOf(h)}
	if len(h.Endpoints) == 0 && !h.Passthrough {
		w.To = []string{fmt.Sprintf("%s:%d", strings.ToLower(r.ServerName), h.TargetPort)}
	}
	return Decision{Kind: Forwarded, Clusters: []WeightedCluster{w}, Reason: fmt.Sprintf("ServiceEntry %s/%s declares %s; %s", h.Meta.Namespace, h.Meta.Name, h.Name, why), Rules: []Rule{declares(h)}}
}

// decideSNI decides by the SNI of TLS.
func decideSNI(v *egress.View, p egress.Port, r Request) Decision {
	r.ServerName = strings.ToLower(strings.TrimSuffix(r.ServerName, "."))
	name := r.ServerName
	if name == "" {
		if h, ok := byAddress(p, egress.ProtocolTLS, r.Address); ok {
			if h.Unresolved {
				h.Endpoints, h.Passthrough = nil, true
			}
			d := toHost(h, r, fmt.Sprintf("%s is in its addresses, and the client sends no SNI", r.Address))
			d.Clusters[0].Cluster = egress.ClusterName(h.Port, r.Address.String())
			return d
		}
		return undeclared(v, r, "; the client sends no SNI")
	}
	hosts, routes := map[string]egress.Host{}, map[string]egress.SNIRoute{}
	names := map[string]bool{}
	for _, h := range p.Hosts {
		if h.Protocol == egress.ProtocolTLS || h.AnyAddress {
			hosts[h.Name], names[h.Name] = h, true
		}
	}
	for _, s := range v.SNIRoutes(p.Number) {
		for _, n := range s.Names {
			routes[n], names[n] = s, true
		}
	}
	found, ok := closestName(names, name, 0) // .example.com, too
	if !ok {
		return undeclared(v, r, "")
	}
	s, routed := routes[found]
	if !routed {
		return toHost(hosts[found], r, "SNI is "+name)
	}
	d := Decision{Kind: Forwarded, Reason: fmt.Sprintf("SNI %s matched by %s of VirtualService %s/%s", found, s.Route.Path, s.By.Namespace, s.By.Name), Rules: []Rule{routedBy(s.By, s.Route.Path)}}
	for i, to := range v.SNIDestinations(s) {
		if as := s.Route.Destinations[i]; as.Weight > 0 {
			d.add(to, as, name)
		}
	}
	if d.blackHole() {
		d.Kind = Closed
	}
	return d
}
