package egress

import "fmt"

// Destination is where a destination of a route leads.
type Destination struct {
	Host Host
	// name is the one to resolve where the host is a wildcard that was not asked
	// for as such; empty otherwise.
	Name string
	// fault says why it leads nowhere; requests are answered 503 then.
	Fault, fix string
	severity   Severity
}

// ClusterName is the name that a route leads to. What leads nowhere leads to a
// cluster that is always there: a name that is unknown must not be asked for.
func (l Destination) ClusterName() string {
	if l.Fault != "" {
		return BlackHoleCluster
	}
	return l.Host.ClusterName()
}

// ResolvedName is the name that a sidecar resolves for a destination, if it is one.
func (l Destination) ResolvedName() (Endpoint, bool) {
	if l.Name != "" {
		return Endpoint{Address: l.Name, Port: l.Host.TargetPort}, true
	}
	return l.Host.SingleName()
}

// MirrorClusterName is the name of a cluster for copies of requests.
func (l Destination) MirrorClusterName() string {
	return fmt.Sprintf("mirror|%d||%s", l.Host.Port, l.mirrorName())
}

func (l Destination) mirrorName() string {
	if l.Name != "" {
		return l.Name
	}
	return l.Host.Name
}

// ByRequest says that the destination is resolved from what the request or the
// connection asks for.
func (l Destination) ByRequest() bool {
	return l.Fault == "" && len(l.Host.Endpoints) == 0 && !l.Host.Passthrough && l.Name == ""
}
