package egress

import (
	"slices"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// CheckServiceEntry validates one entry alone. The problems are in the order of its
// fields; those of the mesh are not included.
func CheckServiceEntry(e ServiceEntry, mesh *Mesh) problem.List {
	_, problems := Build(Input{Mesh: mesh, ServiceEntries: []ServiceEntry{e}})
	return problems.From(Source(KindServiceEntry, e.Meta))
}

// CheckSidecar validates one object alone.
func CheckSidecar(s Sidecar, mesh *Mesh) problem.List {
	_, problems := Build(Input{Mesh: mesh, Sidecars: []Sidecar{s}})
	return withoutNotFound(problems.From(Source(KindSidecar, s.Meta)))
}

// withoutNotFound are the problems without those about other objects.
func withoutNotFound(all problem.List) problem.List {
	return slices.DeleteFunc(all, func(p problem.Problem) bool { return p.Type == problem.TypeNotFound })
}

// CheckVirtualService validates one object alone. The problems are in the order of
// its fields. References to ServiceEntries are validated by Build, with all
// objects: List.From selects this object's problems.
func CheckVirtualService(v VirtualService, mesh *Mesh) problem.List {
	var problems problem.List
	if mesh == nil {
		mesh = CompileMesh(nil)
	}
	readVirtualService(v, mesh, reporter{KindVirtualService, v.Meta, &problems})
	return problems
}
