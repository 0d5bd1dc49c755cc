package egress

import "slices"

// CheckServiceEntry finds the problems of one entry alone, in the order of its
// fields. Those of the mesh are left out.
func CheckServiceEntry(e ServiceEntry, mesh *Mesh) Problems {
	_, problems := Build(Input{Mesh: mesh, ServiceEntries: []ServiceEntry{e}})
	return problems.Of(KindServiceEntry, e.Namespace, e.Name)
}

// CheckVirtualService finds the problems of one object alone, in the order of
// its fields. What depends on the entries for its hosts is found by Build, with
// all objects: Of picks this object's share out of what it returns.
func CheckVirtualService(v VirtualService, mesh *Mesh) Problems {
	var problems Problems
	readVirtualService(v, reporter{KindVirtualService, v.Meta, &problems})
	return problems
}

// Of are the problems of one object.
func (ps Problems) Of(kind, namespace, name string) Problems {
	var out Problems
	for _, p := range ps {
		if p.Kind == kind && p.Namespace == namespace && p.Name == name {
			out = append(out, p)
		}
	}
	return slices.Clip(out)
}
