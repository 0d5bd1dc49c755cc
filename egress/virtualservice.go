package egress

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
)

// readVirtualService reads an object. With one error in it none of its routes is
// used: a set of routes that is half obeyed sends requests where nobody meant
// them to go.
func readVirtualService(v VirtualService, r reporter) []hostRoutes {
	s := v.Spec
	if s == nil {
		r.error("spec", "", "it is missing", "add hosts and http")
		return nil
	}
	errors := r.errors()
	names := readRouteHosts(s, r)
	forSidecars := readGateways(s.Gateways, "spec.gateways", r)
	http := make([]HTTPRoute, 0, len(s.Http))
	for i, route := range s.Http {
		http = append(http, readHTTPRoute(route, fmt.Sprintf("spec.http[%d]", i), r))
	}
	noteUnreachable(s.Http, r)
	tls := readTLSRoutes(s, r)
	if len(s.Tcp) > 0 {
		r.error("spec.tcp", "", "TCP routes are not supported", "remove them")
	}
	if len(s.Http)+len(s.Tls)+len(s.Tcp) == 0 {
		r.error("spec.http", "", "there is no route", "add http or tls routes")
	}
	if r.errors() > errors || !forSidecars {
		return nil
	}
	var out []hostRoutes
	for i, name := range names {
		if name != "" {
			out = append(out, hostRoutes{
				meta: v.Meta, exports: readExports(s.ExportTo, v.Meta), host: name, path: fmt.Sprintf("spec.hosts[%d]", i), http: http, tls: tls,
			})
		}
	}
	return out
}

// readRouteHosts gives the hosts in normal form, each once, with empty ones in
// the places of those that are wrong or there twice.
func readRouteHosts(s *networkingv1alpha3.VirtualService, r reporter) []string {
	if len(s.Hosts) == 0 {
		r.error("spec.hosts", "", "it has no host", "write the host of a ServiceEntry")
	}
	names := make([]string, len(s.Hosts))
	for i, text := range s.Hosts {
		path := fmt.Sprintf("spec.hosts[%d]", i)
		name, fault := normalHost(text)
		switch {
		case fault != "":
			r.error(path, text, fault, "write the host of a ServiceEntry")
		case slices.Contains(names[:i], name):
			r.warn(path, text, "the host is there twice", "remove one")
		default:
			names[i] = name
		}
	}
	return names
}

// readGateways reports whether routes are for the sidecars at all.
func readGateways(gateways []string, path string, r reporter) bool {
	if len(gateways) == 0 {
		return true
	}
	for i, g := range gateways {
		if g != "mesh" {
			r.warn(fmt.Sprintf("%s[%d]", path, i), g, "no effect: there is no gateway but mesh, the sidecars", "remove it, or write mesh")
		}
	}
	return slices.Contains(gateways, "mesh")
}

// readDestination reads a Destination.
func readDestination(d *networkingv1alpha3.Destination, path string, r reporter) RouteDestination {
	t := RouteDestination{Path: path, Port: d.GetPort().GetNumber()}
	if d == nil {
		r.error(path, "", "it is missing", "write destination.host, a host that a ServiceEntry declares")
		return t
	}
	name, fault := normalHost(d.Host)
	if fault != "" {
		r.error(path+".host", d.Host, fault, "write a host that a ServiceEntry declares")
	}
	t.Host = name
	if d.Subset != "" {
		r.error(path+".subset", d.Subset, "subsets are not supported: there is no DestinationRule", "remove it")
	}
	if d.Port != nil && (t.Port == 0 || t.Port > 65535) {
		r.error(path+".port.number", fmt.Sprint(t.Port), "a port is 1 to 65535", "write a port that the ServiceEntry declares, or remove it")
	}
	return t
}

// weighted is a destination with its share.
type weighted interface {
	GetDestination() *networkingv1alpha3.Destination
	GetWeight() int32
}

// readDestinations reads the destinations of a route and their weights. One alone
// takes everything; several need weights.
func readDestinations[T weighted](routes []T, path string, r reporter) []RouteDestination {
	var out []RouteDestination
	sum := uint64(0)
	for i, w := range routes {
		at := fmt.Sprintf("%s[%d]", path, i)
		t := readDestination(w.GetDestination(), at+".destination", r)
		if w.GetWeight() < 0 {
			r.error(at+".weight", fmt.Sprint(w.GetWeight()), "a weight is 0 or more", "write the share, such as 90")
		} else {
			t.Weight = uint32(w.GetWeight())
		}
		sum += uint64(t.Weight)
		out = append(out, t)
	}
	switch {
	case len(out) == 1:
		out[0].Weight = 1
	case len(out) > 1 && sum == 0:
		r.error(path, "", "the weights are 0 together", "give each destination its weight")
	case sum > 1<<32-1:
		r.error(path, fmt.Sprint(sum), "the weights are more than 4294967295 together", "write smaller ones, such as 90 and 10")
	}
	return out
}

// unsupported reports every field that is set and not among those named.
func (r reporter) unsupported(m proto.Message, path, fix string, supported ...string) {
	message := m.ProtoReflect()
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); message.Has(f) && !slices.Contains(supported, f.JSONName()) {
			r.error(path+"."+f.JSONName(), fieldText(message, f), "the field is not supported", fix)
		}
	}
}

func fieldText(m protoreflect.Message, f protoreflect.FieldDescriptor) string {
	if f.IsList() || f.IsMap() || f.Message() != nil {
		return ""
	}
	return strings.Trim(m.Get(f).String(), `"`)
}
