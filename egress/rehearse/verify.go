package rehearse

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/egress/report"
)

// Enforced is the model of an input with REGISTRY_ONLY, whatever the policy of a Sidecar is.
func Enforced(in egress.Input) *egress.Model {
	mesh := in.Mesh
	if mesh == nil {
		mesh = egress.CompileMesh(nil)
	}
	enforced := *mesh
	enforced.RegistryOnly = true
	in.Mesh, in.Sidecars = &enforced, withoutPolicy(in.Sidecars)
	model, _ := egress.Build(in)
	return model
}

// withoutPolicy are Sidecars with the policy of the mesh.
func withoutPolicy(all []egress.Sidecar) []egress.Sidecar {
	out := slices.Clone(all)
	for i, s := range out {
		if s.Spec.GetOutboundTrafficPolicy() != nil {
			out[i].Spec = s.Spec.DeepCopy()
			out[i].Spec.OutboundTrafficPolicy = nil
		}
	}
	return out
}

func blocks(v *egress.View, d report.Destination) bool {
	got := decision(v, d)
	return got.Kind == decide.Closed || got.Kind == decide.Answered && (got.Route == egress.RouteBlockAll || got.Route == egress.RouteBlockPort)
}

// decision is about a connection or request to a destination.
func decision(v *egress.View, d report.Destination) decide.Decision {
	r := decide.Request{Port: d.Port, Protocol: decide.TCP}
	name := d.Host
	if a, err := netip.ParseAddr(d.Host); err == nil {
		if r.Address, name = a, ""; d.Protocol == report.HTTP {
			name = strings.TrimSuffix(netip.AddrPortFrom(a, d.Port).String(), fmt.Sprintf(":%d", d.Port)) // in brackets
		}
	}
	switch d.Protocol {
	case report.HTTP:
		r.Protocol, r.Authority, r.Method, r.Path = decide.HTTP, name, "GET", "/"
	case report.TLS:
		r.Protocol, r.ServerName = decide.TLS, name
	case report.TCP:
	}
	return decide.Decide(v, r)
}
