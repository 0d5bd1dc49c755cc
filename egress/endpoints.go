package egress

import (
	"fmt"
	"net/netip"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// entryEndpoint is one valid endpoint of an entry.
type entryEndpoint struct {
	address string
	spec    *networkingv1alpha3.WorkloadEntry
}

// readEndpoints validates the endpoints of an entry, and returns the valid ones;
// none where the resolution does not use any.
func readEndpoints(s *networkingv1alpha3.ServiceEntry, r reporter) []entryEndpoint {
	static := s.Resolution == networkingv1alpha3.ServiceEntry_STATIC
	if !static && s.Resolution != networkingv1alpha3.ServiceEntry_DNS && s.Resolution != networkingv1alpha3.ServiceEntry_DNS_ROUND_ROBIN {
		return nil
	}
	names := portNamesOf(s)
	out := make([]entryEndpoint, 0, len(s.Endpoints))
	for i, e := range s.Endpoints {
		path := fmt.Sprintf("spec.endpoints[%d]", i)
		if e == nil {
			r.add(problem.Required(path, "specify an address, or remove the item"))
			continue
		}
		address, ok := readEndpointAddress(e.Address, static, path+".address", r)
		if names.readEndpointPorts(e, path, r) && ok {
			out = append(out, entryEndpoint{address, e})
		}
	}
	return out
}

func readEndpointAddress(text string, static bool, path string, r reporter) (address string, ok bool) {
	a, err := netip.ParseAddr(text)
	name, fault := normalHost(text)
	switch {
	case text == "":
		r.add(problem.Required(path, "use an IP address, or a name with resolution DNS"))
	case err == nil && a.Zone() != "":
		r.error(path, text, "IPv6 zones are not allowed", "remove the zone")
	case err == nil && isLocal(a):
		r.error(path, text, "loopback and link-local addresses are not allowed", "use the service's address")
	case err == nil:
		a = a.Unmap()
		if rule := insideAddress(netip.PrefixFrom(a, a.BitLen())); rule != "" {
			r.warn(path, text, rule, fixInside)
		}
		return a.String(), true
	case strings.HasPrefix(text, "unix:"):
		r.error(path, text, "Unix domain sockets are not supported", "use an IP address or a name")
	case static:
		r.error(path, text, "resolution STATIC requires IP addresses", "use an IP address, or resolution DNS")
	case strings.HasPrefix(name, "*"):
		r.error(path, text, "must be an IP address or a DNS name", "use an IP address or a name")
	case fault.Rule != "":
		r.fault(fault, path, "use an IP address or a name")
	default:
		if rule := insideName(name); rule != "" {
			r.warn(path, text, rule, fixInside)
		}
		return name, true
	}
	return "", false
}

// endpointsFor are the endpoints for one port of the entry. The port of an
// endpoint takes precedence over targetPort.
func endpointsFor(p entryPort, all []entryEndpoint) []Endpoint {
	out := make([]Endpoint, 0, len(all))
	for _, e := range all {
		to := Endpoint{Address: e.address, Port: p.target, Weight: e.spec.Weight}
		if n, own := e.spec.Ports[p.name]; own {
			to.Port = n
		}
		out = append(out, to)
	}
	return out
}
