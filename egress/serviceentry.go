package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// readServiceEntry returns the hosts of an entry, without those that have
// errors.
func readServiceEntry(e ServiceEntry, mesh *Mesh, namespaces map[string]map[string]string, r reporter) []Host {
	s := e.Spec
	if s == nil {
		r.add(problem.Required("spec", "add hosts, ports and resolution"))
		return nil
	}
	r.fields(s, "spec")
	exports, exported := readExports(s.ExportTo, mesh.serviceExports, e.Meta, r)
	exports = mesh.visibility.narrow(exports, e.Namespace, namespaces, r)
	ports := readPorts(s, r)
	readPortNames(s, r)
	noteTargetPorts(s, ports, r)
	notePlaintext(s, ports, r)
	addresses := readAddresses(s, r)
	endpoints := readEndpoints(s, r)
	if len(s.Hosts) == 0 {
		r.error("spec.hosts", "", "service entry must have at least one host", "add a host name")
	}
	var out []Host
	seen := map[string]bool{}
	for i, text := range s.Hosts {
		path := fmt.Sprintf("spec.hosts[%d]", i)
		name, fault := normalHost(text)
		if fault.Rule != "" {
			r.fault(fault, path, "use a name such as httpbin.org or *.example.com")
			continue
		}
		if seen[name] {
			r.add(problem.Duplicate(path, text, "host").AsWarning())
			continue
		}
		seen[name] = true
		if rule := insideName(name); rule != "" {
			r.warn(path, text, rule, fixInside)
		}
		for _, p := range ports {
			h := Host{Meta: e.Meta, exports: exports, Name: name, Port: p.number, TargetPort: p.target, Protocol: p.protocol}
			if h.resolve(s, p, addresses, endpoints, path, r) {
				out = append(out, h)
			}
		}
	}
	out = append(out, addressHosts(out, ports, addresses, r)...)
	if !exported {
		return nil
	}
	return out
}

func readPorts(s *networkingv1alpha3.ServiceEntry, r reporter) []entryPort {
	if len(s.Ports) == 0 {
		r.error("spec.ports", "", "service entry must have at least one port", "add number, name and protocol")
	}
	var out []entryPort
	seen := map[uint32]int{}
	for i, p := range s.Ports {
		path := fmt.Sprintf("spec.ports[%d]", i)
		d := entryPort{index: i, name: p.GetName(), number: p.GetNumber(), target: p.GetTargetPort()}
		protocol, known := readProtocol(p.GetProtocol(), p.GetName())
		d.protocol = protocol
		first, twice := seen[d.number]
		switch number := fmt.Sprint(d.number); {
		case d.number == 0 || d.number > 65535:
			r.add(problem.Port(path+".number", number).WithFix("use the port that applications connect to"))
		case slices.Contains(SidecarPorts(), d.number):
			r.error(path+".number", number, "port is reserved by the sidecar", "use another port")
		case twice:
			r.add(problem.Duplicate(path+".number", number, fmt.Sprintf("port number, also in spec.ports[%d]", first)))
		case d.target > 65535:
			r.add(problem.Port(path+".targetPort", fmt.Sprint(d.target)).WithFix("use the port that the host serves, or remove the field"))
		case !known:
			r.error(path+".protocol", p.GetProtocol(), "protocol is not supported", "use HTTP, HTTPS, TLS, TCP, HTTP2, GRPC or GRPC-WEB")
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

// readProtocol reads a port's protocol; without one it is taken from the port's
// name, as in Istio: http-web, tls, grpc-api.
func readProtocol(text, name string) (Protocol, bool) {
	if text == "" {
		text, _, _ = strings.Cut(name, "-")
		if p, known := readProtocol(text, "tcp"); known && text != "" {
			return p, true
		}
		return ProtocolTCP, true
	}
	switch strings.ToUpper(text) {
	case "HTTP":
		return ProtocolHTTP, true
	case "HTTP2", "GRPC", "GRPC-WEB":
		return ProtocolHTTP2, true
	case "HTTPS", "TLS":
		return ProtocolTLS, true
	case "TCP", "MONGO", "MYSQL", "REDIS":
		return ProtocolTCP, true
	}
	return 0, false
}

// resolve sets the endpoints of the host, and reports whether it is valid.
func (h *Host) resolve(s *networkingv1alpha3.ServiceEntry, p entryPort, addresses []netip.Prefix, endpoints []entryEndpoint, path string, r reporter) bool {
	if h.Protocol == ProtocolTCP {
		h.Addresses, h.AnyAddress = addresses, len(s.Addresses) == 0
		if len(s.Addresses) > 0 && len(addresses) == 0 {
			return false // all of them are invalid; without any the host would have all addresses of the port
		}
	}
	if h.Protocol == ProtocolTLS {
		h.Addresses = addresses
	}
	switch s.Resolution {
	case networkingv1alpha3.ServiceEntry_STATIC:
		h.Endpoints = endpointsFor(p, endpoints)
		if len(s.Endpoints) == 0 {
			r.error("spec.endpoints", "", "resolution STATIC requires endpoints", "add endpoints, or use resolution DNS")
		}
		return len(h.Endpoints) > 0
	case networkingv1alpha3.ServiceEntry_DNS, networkingv1alpha3.ServiceEntry_DNS_ROUND_ROBIN:
		if len(s.Endpoints) > 0 {
			h.Endpoints = endpointsFor(p, endpoints)
			return len(h.Endpoints) > 0
		}
		if h.Wildcard() {
			r.error(path, h.Name, "wildcard hosts cannot be used with resolution DNS", "use resolution NONE, or add endpoints")
			return false
		}
	default: // NONE and DYNAMIC_DNS
		h.Unresolved = true
		if len(s.Endpoints) > 0 {
			r.error("spec.endpoints", "", "endpoints cannot be used with resolution "+s.Resolution.String(), "use resolution STATIC or DNS")
			return false
		}
	}
	switch none := s.Resolution == networkingv1alpha3.ServiceEntry_NONE; {
	case h.Protocol == ProtocolTCP && none && len(addresses) == 0:
		r.error("spec.addresses", "", fmt.Sprintf("TCP port %d with resolution NONE would allow all addresses", p.number), "add addresses, or use resolution DNS")
		return false
	case h.Protocol == ProtocolTCP && none:
		h.Passthrough = true
	case h.Protocol == ProtocolTCP && h.Wildcard():
		r.error(path, h.Name, fmt.Sprintf("wildcard hosts cannot be used with TCP port %d", p.number), "use resolution NONE with addresses")
		return false
	case h.Wildcard():
		if h.Protocol.IsHTTP() && p.target != p.number {
			r.warn("spec.ports", fmt.Sprint(p.target), fmt.Sprintf("targetPort conflicts with wildcard host %s: requests with \":%d\" in Host are rejected", h.Name, p.number),
				"remove targetPort, or declare the hosts by name")
		}
	default:
		// By name also with resolution NONE: a request with an allowed Host or
		// SNI must not reach any other original destination.
		h.Endpoints = []Endpoint{{Address: h.Name, Port: p.target}}
	}
	return true
}
