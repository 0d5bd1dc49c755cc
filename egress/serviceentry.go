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
func readServiceEntry(e ServiceEntry, r reporter) []Host {
	s := e.Spec
	if s == nil {
		r.add(problem.Required("spec", "add hosts, ports and resolution"))
		return nil
	}
	noteUnsupported(s, r)
	ports := readPorts(s, r)
	addresses := readAddresses(s, r)
	if len(s.Hosts) == 0 {
		r.error("spec.hosts", "", "service entry must have at least one host", "add a host name")
	}
	var out []Host
	seen := map[string]bool{}
	for i, text := range s.Hosts {
		path := fmt.Sprintf("spec.hosts[%d]", i)
		name, fault := normalHost(text)
		if fault != "" {
			r.error(path, text, fault, "use a name such as httpbin.org or *.example.com")
			continue
		}
		if seen[name] {
			r.add(problem.Duplicate(path, text, "host").AsWarning())
			continue
		}
		seen[name] = true
		for _, p := range ports {
			h := Host{Meta: e.Meta, exports: readExports(s.ExportTo, e.Meta), Name: name, Port: p.number, TargetPort: p.target, Protocol: p.protocol}
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
		r.add(problem.NoEffect("spec.workloadSelector", "", "workloadSelector is not supported", "list the endpoints"))
	}
	if len(s.SubjectAltNames) > 0 {
		r.add(problem.NoEffect("spec.subjectAltNames", "", "the sidecar does not originate TLS", fix))
	}
}

// entryPort is one valid port of an entry.
type entryPort struct {
	name           string
	number, target uint32
	protocol       Protocol
}

func readPorts(s *networkingv1alpha3.ServiceEntry, r reporter) []entryPort {
	if len(s.Ports) == 0 {
		r.error("spec.ports", "", "service entry must have at least one port", "add number, name and protocol")
	}
	var out []entryPort
	seen := map[uint32]int{}
	for i, p := range s.Ports {
		path := fmt.Sprintf("spec.ports[%d]", i)
		d := entryPort{name: p.GetName(), number: p.GetNumber(), target: p.GetTargetPort()}
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
			r.error(path, text, "must be an IP address or a CIDR", "use 192.0.2.7 or 192.0.2.0/24")
		case prefix.Bits() == 0:
			r.error(path, text, "must not cover all addresses", "use a smaller range")
		default:
			out = append(out, prefix.Masked())
		}
	}
	return out
}

// resolve sets the endpoints of the host, and reports whether it is valid.
func (h *Host) resolve(s *networkingv1alpha3.ServiceEntry, p entryPort, addresses []netip.Prefix, path string, r reporter) bool {
	if h.Protocol == ProtocolTCP {
		h.Addresses = addresses
		if len(s.Addresses) > 0 && len(addresses) == 0 {
			return false // all of them are invalid; without any the host would have all addresses of the port
		}
	}
	switch s.Resolution {
	case networkingv1alpha3.ServiceEntry_STATIC:
		h.Endpoints = readEndpoints(s, p, true, r)
		if len(s.Endpoints) == 0 {
			r.error("spec.endpoints", "", "resolution STATIC requires endpoints", "add endpoints, or use resolution DNS")
		}
		return len(h.Endpoints) > 0
	case networkingv1alpha3.ServiceEntry_DNS, networkingv1alpha3.ServiceEntry_DNS_ROUND_ROBIN:
		if len(s.Endpoints) > 0 {
			h.Endpoints = readEndpoints(s, p, false, r)
			return len(h.Endpoints) > 0
		}
		if h.Wildcard() {
			r.error(path, h.Name, "wildcard hosts cannot be used with resolution DNS", "use resolution NONE, or add endpoints")
			return false
		}
	default: // NONE and DYNAMIC_DNS
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

func readEndpoints(s *networkingv1alpha3.ServiceEntry, p entryPort, static bool, r reporter) []Endpoint {
	var out []Endpoint
	for i, e := range s.Endpoints {
		path := fmt.Sprintf("spec.endpoints[%d]", i)
		to := Endpoint{Address: e.GetAddress(), Port: p.target, Weight: e.GetWeight()}
		if n := e.GetPorts()[p.name]; n > 0 {
			to.Port = n
		}
		a, err := netip.ParseAddr(to.Address)
		name, fault := normalHost(to.Address)
		switch {
		case to.Port > 65535:
			r.add(problem.Port(path+".ports", fmt.Sprint(to.Port)).WithFix("use the port that the endpoint serves"))
		case err == nil && a.Zone() != "":
			r.error(path+".address", to.Address, "IPv6 zones are not allowed", "remove the zone")
		case err == nil && isLocal(a):
			r.error(path+".address", to.Address, "loopback and link-local addresses are not allowed", "use the service's address")
		case err == nil:
			to.Address = a.Unmap().String()
			out = append(out, to)
		case static:
			r.error(path+".address", to.Address, "resolution STATIC requires IP addresses", "use an IP address, or resolution DNS")
		case fault != "" || strings.HasPrefix(name, "*"):
			r.error(path+".address", to.Address, "must be an IP address or a DNS name", "use an IP address or a name")
		default:
			to.Address = name
			out = append(out, to)
		}
	}
	return out
}
