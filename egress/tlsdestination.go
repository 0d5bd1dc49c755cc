package egress

import (
	"fmt"
	"slices"
)

// notePlaintextDestination warns about a destination of requests where servers
// usually have TLS: a sidecar sends the requests as they are.
func notePlaintextDestination(to Destination, t RouteDestination, r reporter) {
	if to.Problem != nil {
		return
	}
	ports := []uint32{to.Host.TargetPort}
	if len(to.Host.Endpoints) > 0 {
		ports = nil
		for _, e := range to.Host.Endpoints {
			ports = append(ports, e.Port)
		}
	}
	if i := slices.IndexFunc(ports, usuallyTLS); i >= 0 {
		r.warn(t.Path, t.Host, fmt.Sprintf("HTTP is sent to port %d as plaintext, and servers usually have TLS on it: %s", ports[i], withoutTLS),
			"use another port, or https:// in clients")
	}
}
