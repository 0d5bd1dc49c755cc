package egress

import (
	"fmt"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Destination is what a destination of a route resolves to.
type Destination struct {
	Host Host
	// Name is the DNS name to resolve where Host is a wildcard and the route
	// specifies a name that it covers; empty otherwise.
	Name string
	// Problem is set where the destination cannot be used; requests get 503 then,
	// connections are closed, and nothing is mirrored.
	Problem *problem.Problem
}

// unusable is a destination with a problem.
func unusable(p problem.Problem) Destination { return Destination{Problem: &p} }

// use is what a destination is for, for messages.
type use int

const (
	forRequests use = iota
	forMirroring
	forConnections
)

// withoutDestination is what happens while a destination is not declared.
func (u use) withoutDestination() string {
	return [...]string{"requests get 503", "requests are not mirrored", "connections are closed"}[u]
}

// ClusterName is the cluster that a route refers to. A destination that cannot
// be used has a cluster that always exists: Envoy would ask for an unknown name.
func (d Destination) ClusterName() string {
	if d.Problem != nil {
		return BlackHoleCluster
	}
	return d.Host.ClusterName()
}

// ResolvedName is the DNS name that a sidecar resolves for the destination, if
// it is one name.
func (d Destination) ResolvedName() (Endpoint, bool) {
	if d.Name != "" {
		return Endpoint{Address: d.Name, Port: d.Host.TargetPort}, true
	}
	return d.Host.SingleName()
}

// MirrorClusterName is the name of a cluster for mirrored requests.
func (d Destination) MirrorClusterName() string {
	name := d.Host.Name
	if d.Name != "" {
		name = d.Name
	}
	return fmt.Sprintf("mirror|%d||%s", d.Host.Port, name)
}

// ResolvedByHost reports whether the sidecar resolves the Host of the request,
// or the SNI of the connection.
func (d Destination) ResolvedByHost() bool {
	return d.Problem == nil && len(d.Host.Endpoints) == 0 && !d.Host.Passthrough && d.Name == ""
}
