package egress

// CheckServiceEntry validates one entry alone. The problems are in the order of its
// fields; those of the mesh are not included.
func CheckServiceEntry(e ServiceEntry, mesh *Mesh) Problems {
	_, problems := Build(Input{Mesh: mesh, ServiceEntries: []ServiceEntry{e}})
	return problems.From(Source(KindServiceEntry, e.Meta))
}

// CheckVirtualService validates one object alone. The problems are in the order of
// its fields. References to ServiceEntries are validated by Build, with all
// objects: List.From selects this object's problems.
func CheckVirtualService(v VirtualService, mesh *Mesh) Problems {
	var problems Problems
	readVirtualService(v, reporter{KindVirtualService, v.Meta, &problems})
	return problems
}
