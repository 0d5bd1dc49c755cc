package egress

import (
	"slices"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Build makes the model. The problems are complete and sorted; what has an
// error is not in the model, and everything else is.
func Build(in Input) (*Model, problem.List) {
	mesh := in.Mesh
	if mesh == nil {
		mesh = CompileMesh(nil)
	}
	problems := slices.Concat(in.Problems, mesh.problems)
	m := &Model{
		mesh:    *mesh,
		private: map[string]bool{},
	}
	m.inCluster, m.ownCluster = byNamespace(in.InCluster)
	for _, e := range sorted(in.ServiceEntries, func(e ServiceEntry) Meta { return e.Meta }) {
		m.hosts = append(m.hosts, readServiceEntry(e, reporter{KindServiceEntry, e.Meta, &problems})...)
	}
	for _, v := range sorted(in.VirtualServices, func(v VirtualService) Meta { return v.Meta }) {
		m.routes = append(m.routes, readVirtualService(v, reporter{KindVirtualService, v.Meta, &problems})...)
	}
	m.findPrivate()
	m.checkReferences(&problems)
	m.addRejections(in.Rejected, &problems)
	slices.SortStableFunc(problems, compareSources)
	return m, problems
}
