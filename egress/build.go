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
		mesh:     *mesh,
		private:  map[string]bool{},
		sums:     &sums{},
		limits:   in.Limits.withDefaults(),
		sidecars: sidecars{root: mesh.rootNamespace, of: map[string]*namespaceSidecars{}},
	}
	m.mesh.Reports, m.mesh.BlockedBody = in.Reports, in.BlockedBody
	m.inCluster, m.ownCluster = byNamespace(in.InCluster)
	within := newBudget(in.Limits)
	m.services = in.InCluster
	for _, s := range sorted(in.Sidecars, func(s Sidecar) Meta { return s.Meta }) {
		r := reporter{KindSidecar, s.Meta, &problems}
		if readable, counts := within.sidecar(s, r); counts {
			m.sidecars.add(readSidecar(s, readable, mesh, r))
		}
	}
	for _, e := range sorted(in.ServiceEntries, func(e ServiceEntry) Meta { return e.Meta }) {
		if r := (reporter{KindServiceEntry, e.Meta, &problems}); within.entry(e, r) {
			m.hosts = append(m.hosts, readServiceEntry(e, mesh, in.Namespaces, r)...)
		}
	}
	for _, v := range sorted(in.VirtualServices, func(v VirtualService) Meta { return v.Meta }) {
		if r := (reporter{KindVirtualService, v.Meta, &problems}); within.service(v, r) {
			m.routes = append(m.routes, readVirtualService(v, mesh, r)...)
		}
	}
	share(m.hosts)
	m.countPorts()
	m.findPrivate()
	m.visible = newVisible(m.hosts)
	m.checkReferences(&problems)
	m.addRejections(in.Rejected, &problems)
	slices.SortStableFunc(problems, compareSources)
	return m, problems
}
