package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
)

// protocol is what a declared port speaks, as far as the sidecar cares.
type protocol uint8

const (
	protocolHTTP  protocol = iota
	protocolHTTP2          // HTTP/2 without TLS; gRPC
	protocolTLS            // told by SNI and passed on as it is
	protocolTCP
)

func (p protocol) http() bool { return p == protocolHTTP || p == protocolHTTP2 }

// host is one host on one port, as one ServiceEntry declares it.
type host struct {
	meta    Meta
	exports exports

	name     string // httpbin.org or *.example.com
	port     uint32 // as the application dials it
	protocol protocol
	// endpoints are where the cluster leads; none for a wildcard, which leads to
	// the name that was asked for, and for passthrough.
	endpoints []endpoint
	// target is the port that connections go to where no endpoint has another.
	target uint32
	// addresses are the destinations of a TCP port; none stands for any.
	addresses []netip.Prefix
	// shadowed says that other hosts have all of its TCP port's addresses.
	shadowed bool
	// passthrough keeps the address that was dialled: TCP without resolution.
	passthrough bool
}

func (h host) wildcard() bool  { return strings.HasPrefix(h.name, "*") }
func (h host) cluster() string { return clusterName(h.port, h.name) }

// static says that all endpoints are addresses and need no resolution.
func (h host) static() bool {
	return len(h.endpoints) > 0 && !slices.ContainsFunc(h.endpoints, func(e endpoint) bool { return e.name() })
}

// fetched says that the host has a cluster, which is fetched by name. Bytes for a
// name go through namesCluster.
func (h host) fetched() bool { return h.protocol.http() || h.passthrough || h.static() }

// mixed says that there are several endpoints, and names among them.
func (h host) mixed() bool { return len(h.endpoints) > 1 && !h.static() }

// named gives the one name that the host leads to: its own, or that of its only
// endpoint.
func (h host) named() (endpoint, bool) {
	if len(h.endpoints) == 1 && h.endpoints[0].name() {
		return h.endpoints[0], true
	}
	return endpoint{}, false
}

// endpoint is an address or a name to resolve, and a port.
type endpoint struct {
	address string
	port    uint32
	weight  uint32 // 0: not given
}

func (e endpoint) name() bool {
	_, err := netip.ParseAddr(e.address)
	return err != nil
}

// readServiceEntry gives the hosts of an entry, those with errors left out.
func readServiceEntry(e ServiceEntry, m mesh, r reporter) []host {
	s := e.Spec
	if s == nil {
		r.error("spec", "", "it is missing", "add hosts, ports and resolution")
		return nil
	}
	noteUnsupported(s, r)
	ports := readPorts(s, m, r)
	addresses := readAddresses(s, r)
	if len(s.Hosts) == 0 {
		r.error("spec.hosts", "", "an entry declares at least one host", "add the host's name")
	}
	var out []host
	seen := map[string]bool{}
	for i, text := range s.Hosts {
		path := fmt.Sprintf("spec.hosts[%d]", i)
		name, fault := normalHost(text)
		if fault != "" {
			r.error(path, text, fault, "write a name such as httpbin.org or *.example.com")
			continue
		}
		if seen[name] {
			r.warn(path, text, "the host is there twice", "remove one")
			continue
		}
		seen[name] = true
		for _, p := range ports {
			h := host{meta: e.Meta, exports: readExports(s.ExportTo, e.Meta), name: name, port: p.number, target: p.target, protocol: p.protocol}
			if h.resolve(s, p, addresses, path, r) {
				out = append(out, h)
			}
		}
	}
	return out
}

// noteUnsupported warns about valid fields that have no effect.
func noteUnsupported(s *networkingv1alpha3.ServiceEntry, r reporter) {
	const fix = "remove it"
	if s.WorkloadSelector != nil {
		r.warn("spec.workloadSelector", "", "no effect: endpoints are those that the entry lists", "list them in endpoints")
	}
	if len(s.SubjectAltNames) > 0 {
		r.warn("spec.subjectAltNames", "", "no effect: TLS is passed on as the application speaks it", fix)
	}
}

// declared is one valid port of an entry.
type declared struct {
	name           string
	number, target uint32
	protocol       protocol
}

func readPorts(s *networkingv1alpha3.ServiceEntry, m mesh, r reporter) []declared {
	if len(s.Ports) == 0 {
		r.error("spec.ports", "", "an entry declares at least one port", "add number, name and protocol")
	}
	var out []declared
	seen := map[uint32]int{}
	for i, p := range s.Ports {
		path := fmt.Sprintf("spec.ports[%d]", i)
		d := declared{name: p.GetName(), number: p.GetNumber(), target: p.GetTargetPort()}
		protocol, known := readProtocol(p.GetProtocol(), p.GetName())
		d.protocol = protocol
		first, twice := seen[d.number]
		switch number := fmt.Sprint(d.number); {
		case d.number == 0 || d.number > 65535:
			r.error(path+".number", number, "a port is 1 to 65535", "write the port that the application dials")
		case d.number == m.listenPort:
			r.error(path+".number", number, "the sidecar itself listens on this port", "use another one")
		case twice:
			r.error(path+".number", number, fmt.Sprintf("spec.ports[%d] has the same number", first), "remove one")
		case d.target > 65535:
			r.error(path+".targetPort", fmt.Sprint(d.target), "a port is 1 to 65535", "write the port that the host serves, or remove the field")
		case !known:
			r.error(path+".protocol", p.GetProtocol(), "the protocol is not supported", "use HTTP, HTTPS, TLS, TCP, HTTP2, GRPC or GRPC-WEB")
		default:
			seen[d.number] = i
			if d.target == 0 {
				d.target = d.number
			}
			out = append(out, d)
		}
	}
	return out
}

// readProtocol reads a port's protocol; without one its name says it, as in
// Istio: http-web, tls, grpc-api.
func readProtocol(text, name string) (protocol, bool) {
	if text == "" {
		text, _, _ = strings.Cut(name, "-")
		if p, known := readProtocol(text, "tcp"); known && text != "" {
			return p, true
		}
		return protocolTCP, true
	}
	switch strings.ToUpper(text) {
	case "HTTP":
		return protocolHTTP, true
	case "HTTP2", "GRPC", "GRPC-WEB":
		return protocolHTTP2, true
	case "HTTPS", "TLS":
		return protocolTLS, true
	case "TCP", "MONGO", "MYSQL", "REDIS":
		return protocolTCP, true
	}
	return 0, false
}

func readAddresses(s *networkingv1alpha3.ServiceEntry, r reporter) []netip.Prefix {
	var out []netip.Prefix
	for i, text := range s.Addresses {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(text); err == nil {
				a = a.Unmap()
				prefix = netip.PrefixFrom(a, a.BitLen())
			}
		}
		path := fmt.Sprintf("spec.addresses[%d]", i)
		switch {
		case err != nil:
			r.error(path, text, "it is neither an address nor a range", "write 192.0.2.7 or 192.0.2.0/24")
		case prefix.Bits() == 0:
			r.error(path, text, "it would stand for every address", "write the range that is meant")
		default:
			out = append(out, prefix.Masked())
		}
	}
	return out
}

// resolve fills in where the host leads, and says whether it leads anywhere.
func (h *host) resolve(s *networkingv1alpha3.ServiceEntry, p declared, addresses []netip.Prefix, path string, r reporter) bool {
	if h.protocol == protocolTCP {
		h.addresses = addresses
		if len(s.Addresses) > 0 && len(addresses) == 0 {
			return false // all of them were refused; without any the port would be open to all
		}
	}
	switch s.Resolution {
	case networkingv1alpha3.ServiceEntry_STATIC:
		h.endpoints = readEndpoints(s, p, true, r)
		if len(s.Endpoints) == 0 {
			r.error("spec.endpoints", "", "resolution STATIC leads to endpoints, and there is none", "add endpoints, or use resolution DNS")
		}
		return len(h.endpoints) > 0
	case networkingv1alpha3.ServiceEntry_DNS, networkingv1alpha3.ServiceEntry_DNS_ROUND_ROBIN:
		if len(s.Endpoints) > 0 {
			h.endpoints = readEndpoints(s, p, false, r)
			return len(h.endpoints) > 0
		}
		if h.wildcard() {
			r.error(path, h.name, "resolution DNS cannot resolve a wildcard", "use resolution NONE, or add endpoints")
			return false
		}
	default: // NONE and DYNAMIC_DNS
		if len(s.Endpoints) > 0 {
			r.error("spec.endpoints", "", "resolution "+s.Resolution.String()+" has no endpoints", "use resolution STATIC or DNS")
			return false
		}
	}
	switch none := s.Resolution == networkingv1alpha3.ServiceEntry_NONE; {
	case h.protocol == protocolTCP && none && len(addresses) == 0:
		r.error("spec.addresses", "", fmt.Sprintf("TCP port %d with resolution NONE would open every address", p.number), "add addresses, or use resolution DNS")
		return false
	case h.protocol == protocolTCP && none:
		h.passthrough = true
	case h.protocol == protocolTCP && h.wildcard():
		r.error(path, h.name, fmt.Sprintf("TCP port %d carries no name to resolve for a wildcard", p.number), "use resolution NONE with addresses")
		return false
	case h.wildcard():
		if h.protocol.http() && p.target != p.number {
			r.warn("spec.ports", fmt.Sprint(p.target), fmt.Sprintf("requests to %s that name port %d in their Host are refused: a wildcard's host is dialled with the port that its Host has", h.name, p.number),
				"remove targetPort, or declare the hosts by name")
		}
	default:
		// By name also with resolution NONE: an allowed Host or SNI must not
		// reach the address that the application happened to dial.
		h.endpoints = []endpoint{{address: h.name, port: p.target}}
	}
	return true
}

func readEndpoints(s *networkingv1alpha3.ServiceEntry, p declared, static bool, r reporter) []endpoint {
	var out []endpoint
	for i, e := range s.Endpoints {
		path := fmt.Sprintf("spec.endpoints[%d]", i)
		to := endpoint{address: e.GetAddress(), port: p.target, weight: e.GetWeight()}
		if n := e.GetPorts()[p.name]; n > 0 {
			to.port = n
		}
		a, err := netip.ParseAddr(to.address)
		name, fault := normalHost(to.address)
		switch {
		case to.port > 65535:
			r.error(path+".ports", fmt.Sprint(to.port), "a port is 1 to 65535", "write the port that the endpoint serves")
		case err == nil && a.Zone() != "":
			r.error(path+".address", to.address, "a zone means something on one machine only", "write the address without it")
		case err == nil && refused(a):
			r.error(path+".address", to.address, "a loopback or link-local address is the pod's own or the node's, not a service's", "write the service's address")
		case err == nil:
			to.address = a.Unmap().String()
			out = append(out, to)
		case static:
			r.error(path+".address", to.address, "resolution STATIC needs an address", "write an IP address, or use resolution DNS")
		case fault != "" || strings.HasPrefix(name, "*"):
			r.error(path+".address", to.address, "it is neither an address nor a name", "write an IP address or a name")
		default:
			to.address = name
			out = append(out, to)
		}
	}
	return out
}
