package kube

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/outrider-mesh/outrider/egress"
)

// The Service of the API server, in every cluster. Its endpoints are dialled by
// address: by clients that are told of no Service.
const apiNamespace, apiService = "default", "kubernetes"

// service is what is kept of a Service.
type service struct {
	addresses []netip.Addr // ClusterIPs
	// direct says that clients dial the endpoints themselves.
	direct bool
}

func (s service) equal(o service) bool {
	return s.direct == o.direct && slices.Equal(s.addresses, o.addresses)
}

// readService reads a Service. One of type ExternalName has no addresses of its
// own and opens nothing.
func readService(s *corev1.Service) service {
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return service{}
	}
	out := service{direct: s.Spec.ClusterIP == corev1.ClusterIPNone || s.Namespace == apiNamespace && s.Name == apiService}
	for _, text := range s.Spec.ClusterIPs {
		if a, err := netip.ParseAddr(text); err == nil { // "None" is none
			out.addresses = append(out.addresses, a)
		}
	}
	return out
}

// slice is what is kept of an EndpointSlice.
type slice struct {
	service   key
	endpoints []egress.InClusterAddress
}

func (s slice) equal(o slice) bool {
	return s.service == o.service && slices.EqualFunc(s.endpoints, o.endpoints, func(a, b egress.InClusterAddress) bool {
		return a.Address == b.Address && slices.Equal(a.Ports, b.Ports)
	})
}

// readSlice reads an EndpointSlice. An address of a pod is the pod's on every
// port; any other address was written by somebody, and is open on the ports
// that they wrote.
func readSlice(s *discoveryv1.EndpointSlice) slice {
	out := slice{service: key{s.Namespace, s.Labels[discoveryv1.LabelServiceName]}}
	if s.AddressType == discoveryv1.AddressTypeFQDN {
		return out
	}
	ports, any := tcpPorts(s.Ports)
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
				continue // the API server lets no such thing in
			}
			d.Address = a
			out.endpoints = append(out.endpoints, d)
		}
	}
	return out
}

// tcpPorts are the TCP ports of a slice; any is a port without a number, which
// stands for all of them.
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

// destinations are the addresses of the cluster that always work: ClusterIPs on
// every port, and the endpoints that clients dial themselves. Pods that only
// stand behind a Service's own address are not among them.
func destinations(services map[key]service, endpoints map[key]slice) []egress.InClusterAddress {
	var out []egress.InClusterAddress
	for _, s := range services {
		for _, a := range s.addresses {
			out = append(out, egress.InClusterAddress{Address: a})
		}
	}
	for _, e := range endpoints {
		if services[e.service].direct {
			out = append(out, e.endpoints...)
		}
	}
	return out // in any order: egress.Build sorts and merges them
}
