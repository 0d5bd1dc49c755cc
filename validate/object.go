package validate

import (
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// Object validates a ServiceEntry, VirtualService or Sidecar by the text of its spec: among
// the objects, in which it replaces its earlier state, or alone while these are not loaded.
func Object(kind string, m egress.Meta, spec []byte, among egress.Input, loaded bool) problem.List {
	decoded, problems := egress.Decode(kind, m, spec)
	if decoded == nil {
		return problems
	}
	var alone egress.Input
	alone.Add(m, decoded, len(spec))
	switch {
	case !loaded && kind == egress.KindServiceEntry:
		return append(problems, egress.CheckServiceEntry(alone.ServiceEntries[0], among.Mesh)...)
	case !loaded && kind == egress.KindSidecar:
		return append(problems, egress.CheckSidecar(alone.Sidecars[0], among.Mesh)...)
	case !loaded:
		return append(problems, egress.CheckVirtualService(alone.VirtualServices[0], among.Mesh)...)
	}
	all := among.Without(kind, m)
	all.Add(m, decoded, len(spec))
	return append(problems, buildObjects(all).of(kind, m)...)
}

// objects are objects that are validated against each other.
type objects struct {
	conflicts *egress.Conflicts
	bySource  map[string]problem.List
}

func buildObjects(in egress.Input) objects {
	in.Problems, in.InCluster = nil, nil // neither is about an object that is validated
	model, all := egress.Build(in)
	o := objects{model.Conflicts(), map[string]problem.List{}}
	for _, p := range all {
		o.bySource[p.Source] = append(o.bySource[p.Source], p)
	}
	return o
}

// of are the problems of one of them.
func (o objects) of(kind string, m egress.Meta) problem.List {
	return append(o.bySource[egress.Source(kind, m)], o.conflicts.Of(kind, m.Namespace, m.Name)...)
}
