package explain

import (
	"net/netip"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/inject"
)

// Input is what the answers about a pod depend on.
type Input struct {
	Injector   *inject.Injector
	Texts      Texts
	Registered Registered
	Namespace  Namespace
	Model      *egress.Model
	labels     map[string]string // of the pod
	// Manifests are the places of objects of files, by egress.Source.
	Manifests map[string]Manifest
	// InCluster are the Services and endpoints of the cluster, to name the one that an
	// address is of.
	InCluster []InCluster
	// InClusterUnknown is set where they were not read.
	InClusterUnknown bool
}

// InCluster are the addresses of one Service or EndpointSlice.
type InCluster struct {
	Name      string // "Service shop/web"
	Addresses []netip.Addr
}

// Explain answers everything about a pod and its connections to destinations.
func Explain(s Subject, c Input, to ...Destination) Answer {
	c.labels = s.labels()
	result, decision := s.Inject(c)
	running, had := s.running(c)
	a := Answer{
		APIVersion: APIVersion, Kind: "Explanation", Object: s.Object, Webhook: s.Selection(c.Namespace, c.Registered),
		Decision: decision, Running: running, Settings: s.settings(c, result, had), Warnings: []string{}, Destinations: []Traffic{},
	}
	if a.Result = a.Decision.Result; a.Webhook.Result == NotSelected {
		a.Result = NotSelected
	}
	if result != nil {
		a.Warnings = append(a.Warnings, result.Warnings.Strings()...)
	}
	r, none := s.redirection(result, running, had)
	if running == nil && a.Webhook.Result == NotSelected {
		r, none = nil, "the pod is not injected"
	}
	for _, d := range to {
		a.Destinations = append(a.Destinations, c.traffic(r, none, d))
	}
	return a
}
