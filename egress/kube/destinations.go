package kube

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/egress"
)

// The Service of the API server, in every cluster. Some clients connect to its
// endpoints directly, by address.
const apiNamespace, apiService = "default", "kubernetes"

// apiEndpoints is the EndpointSlice that API servers write, and restore when another
// client writes it.
var apiEndpoints = key{apiNamespace, apiService}

// service is the part of a Service that is stored.
type service struct {
	addresses []netip.Addr // ClusterIPs
	nodePorts []uint16
	// direct: clients connect to the endpoints directly.
	direct bool
	// exportTo is the value of its annotation; empty: none.
	exportTo string
}

// exportedTo are the namespaces that may see the Service; nil: all.
func (s service) exportedTo() (out []string) {
	if s.exportTo == "" {
		return nil
	}
	for _, ns := range strings.Split(s.exportTo, ",") {
		out = append(out, strings.TrimSpace(ns))
	}
	return out
}

func (s service) equal(o service) bool {
	return s.direct == o.direct && s.exportTo == o.exportTo && slices.Equal(s.addresses, o.addresses) && slices.Equal(s.nodePorts, o.nodePorts)
}

// readService reads a Service. Type ExternalName has no addresses of its own and
// allows nothing.
func readService(s *corev1.Service) service {
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return service{}
	}
	out := service{exportTo: s.Annotations[annotation.ExportTo], direct: s.Spec.ClusterIP == corev1.ClusterIPNone || s.Namespace == apiNamespace && s.Name == apiService}
	for _, text := range s.Spec.ClusterIPs {
		if a, err := netip.ParseAddr(text); err == nil { // "None" is not an address
			out.addresses = append(out.addresses, a)
		}
	}
	for _, p := range s.Spec.Ports {
		if p.NodePort > 0 && p.NodePort <= 65535 {
			out.nodePorts = append(out.nodePorts, uint16(p.NodePort))
		}
	}
	return out
}

// slice is the part of an EndpointSlice that is stored.
type slice struct {
	name, service key
	created       time.Time
	endpoints     []egress.InClusterAddress
	ports         []uint16 // TCP
}

func (s slice) equal(o slice) bool {
	return s.service == o.service && slices.Equal(s.ports, o.ports) && slices.EqualFunc(s.endpoints, o.endpoints, func(a, b egress.InClusterAddress) bool {
		return a.Address == b.Address && slices.Equal(a.Ports, b.Ports)
	})
}

// compare is the order of age, and of names.
func (s slice) compare(o slice) int {
	return cmp.Or(s.created.Compare(o.created), cmp.Compare(s.name.namespace, o.name.namespace), cmp.Compare(s.name.name, o.name.name))
}

// readSlice reads an EndpointSlice. The address of a pod is allowed on every port;
// any other address was set manually, and is allowed on the slice's ports. Who writes
// a slice decides what it states, also that an address is a pod's and that a controller
// wrote it: what it opens for other namespaces depends on the address alone.
func readSlice(s *discoveryv1.EndpointSlice) slice {
	out := slice{name: key{s.Namespace, s.Name}, created: s.CreationTimestamp.Time, service: key{s.Namespace, s.Labels[discoveryv1.LabelServiceName]}}
	if s.AddressType == discoveryv1.AddressTypeFQDN {
		return out
	}
	ports, any := tcpPorts(s.Ports)
	out.ports = ports
	for _, e := range s.Endpoints {
		pod := e.TargetRef != nil && e.TargetRef.Kind == "Pod"
		if !pod && !any && len(ports) == 0 {
			continue
		}
		d := egress.InClusterAddress{Ports: ports}
		if pod || any {
			d.Ports = nil
		}
		for _, text := range e.Addresses {
			a, err := netip.ParseAddr(text)
			if err != nil {
				continue // the API server rejects such addresses
			}
			d.Address = a
			out.endpoints = append(out.endpoints, d)
		}
	}
	return out
}

// tcpPorts are the TCP ports of a slice; any: a port without a number, which means
// all ports.
func tcpPorts(ports []discoveryv1.EndpointPort) (numbers []uint16, any bool) {
	for _, p := range ports {
		switch {
		case p.Protocol != nil && *p.Protocol != corev1.ProtocolTCP:
		case p.Port == nil:
			any = true
		case *p.Port > 0 && *p.Port <= 65535:
			numbers = append(numbers, uint16(*p.Port))
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers), any
}

// reachable are the addresses of the cluster that are always allowed.
type reachable struct {
	addresses []egress.InClusterAddress // in any order: egress.Build sorts and merges them
	omitted   int                       // endpoints of namespaces that have too many
	// restricted are the Services with ClusterIPs for their own namespace only.
	restricted []key
}

// destinations are the addresses of the cluster that are always allowed: ClusterIPs
// on every port, and endpoints that clients connect to directly. Pods that are
// reached by a ClusterIP only are not among them. The API server assigns ClusterIPs
// and writes its own endpoints. All other endpoints are allowed for all namespaces if
// they are the cluster's own addresses, and for their own namespace if not, as are the
// ClusterIPs of a Service with such an endpoint: the rest requires a ServiceEntry. A
// Service's other addresses (externalIPs, those of its load balancer) are written by
// its author and open nothing. limit bounds the endpoints of a namespace: the youngest
// slices over it are omitted.
func destinations(services map[key]service, endpoints map[key]slice, own *own, limit int) (out reachable) {
	outside := map[key]bool{}
	var direct []slice
	for _, e := range endpoints {
		s, found := services[e.service]
		switch {
		case s.direct:
			direct = append(direct, e)
		case found && !outside[e.service] && own.relaysOutside(&e):
			outside[e.service] = true
			out.restricted = append(out.restricted, e.service)
		}
	}
	for name, s := range services {
		for _, a := range s.addresses {
			d := egress.InClusterAddress{Address: a, Service: egress.ServiceName{Namespace: name.namespace, Name: name.name}, ExportTo: s.exportedTo()}
			if outside[name] {
				d.Namespace = name.namespace
			}
			out.addresses = append(out.addresses, d)
		}
	}
	out.addDirect(direct, services, own, limit)
	return out
}

// addDirect adds the endpoints that clients connect to directly.
func (r *reachable) addDirect(direct []slice, services map[key]service, own *own, limit int) {
	slices.SortFunc(direct, slice.compare)
	spent := map[string]int{}
	for _, e := range direct {
		name := e.name
		if name != apiEndpoints {
			spent[name.namespace] += len(e.endpoints)
		}
		if spent[name.namespace] > limit {
			r.omitted += len(e.endpoints)
			continue
		}
		exportTo := services[e.service].exportedTo()
		for _, d := range e.endpoints {
			d.Service, d.ExportTo = egress.ServiceName{Namespace: e.service.namespace, Name: e.service.name}, exportTo
			all, any := own.forAll(d, &e)
			switch {
			case name == apiEndpoints:
				r.addresses = append(r.addresses, d)
				continue
			case any:
				r.addresses = append(r.addresses, all)
			}
			if !any || !slices.Equal(all.Ports, d.Ports) {
				d.Namespace = name.namespace
				r.addresses = append(r.addresses, d)
			}
		}
	}
}

// Destination is a Service, or endpoints that clients connect to directly, with the
// addresses that are always reachable by it.
type Destination struct {
	Kind, Namespace, Name string // a Service or an EndpointSlice
	Addresses             []netip.Addr
}

// Destinations are the Services and endpoints of the latest build.
func (w *Watcher) Destinations() (out []Destination) {
	for k, s := range w.services.all() {
		if len(s.addresses) > 0 {
			out = append(out, Destination{"Service", k.namespace, k.name, s.addresses})
		}
	}
	for k, e := range w.slices.all() {
		if !w.services.get(e.service).direct {
			continue
		}
		d := Destination{Kind: "EndpointSlice", Namespace: k.namespace, Name: k.name}
		for _, a := range e.endpoints {
			d.Addresses = append(d.Addresses, a.Address)
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b Destination) int {
		return cmp.Or(-cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out
}
