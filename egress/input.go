package egress

import (
	"net/netip"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Input is everything that the configuration of sidecars depends on.
type Input struct {
	// Mesh is the mesh configuration; nil is one without a field.
	Mesh *Mesh
	// InCluster are the addresses that are always reachable.
	InCluster       []InClusterAddress
	ServiceEntries  []ServiceEntry
	VirtualServices []VirtualService
	Sidecars        []Sidecar
	// Namespaces are the labels of namespaces, by name. Of one that is not among them
	// nothing is known.
	Namespaces map[string]map[string]string
	// Rejected are objects that sidecars reject. They stay in the model: which sidecars
	// get them is decided for each.
	Rejected []Rejection
	// Reports is Mesh.Reports: a setting of the control plane.
	Reports bool
	// BlockedBody is Mesh.BlockedBody.
	BlockedBody bool
	// Limits bound the objects of each namespace.
	Limits Limits
	// Problems are those of objects that could not be decoded.
	Problems problem.List
}

// InClusterAddress is an address of the cluster: a ClusterIP, an endpoint of a
// headless Service, or an endpoint of the API server. It is one address and
// never a range: on a platform whose pods have addresses of the cloud's network
// a range would open all of that network.
type InClusterAddress struct {
	Address netip.Addr
	// Ports are the TCP ports; an empty list is all of them.
	Ports []uint16
	// Namespace is the only one whose sidecars reach the address; empty: all. An
	// EndpointSlice can be written by hand, with any address.
	Namespace string
	// Service has the address: its ClusterIP, or that of an endpoint.
	Service ServiceName
	// ExportTo are the namespaces that the Service is visible to, as in exportTo; empty:
	// all. With an error, it is the Service's own.
	ExportTo []string
}

// ServiceName is the name of a Service; empty: the address is of none.
type ServiceName struct{ Namespace, Name string }

// Host is the name that the Service has in Sidecars.
func (s ServiceName) Host() string { return s.Name + "." + s.Namespace + ".svc.cluster.local" }

// ServiceEntry is an object of networking.istio.io.
type ServiceEntry struct {
	Meta
	Spec  *networkingv1alpha3.ServiceEntry
	Bytes int // of the spec's text
}

// Sidecar is an object of networking.istio.io. Without a spec it could not be decoded.
type Sidecar struct {
	Meta
	Spec  *networkingv1alpha3.Sidecar
	Bytes int // of the spec's text
}

// VirtualService is an object of networking.istio.io.
type VirtualService struct {
	Meta
	Spec  *networkingv1alpha3.VirtualService
	Bytes int // of the spec's text
}
