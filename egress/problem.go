package egress

import (
	"cmp"
	"slices"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// The kinds of objects that problems are found in.
const (
	KindMesh           = "MeshConfig"
	KindServiceEntry   = "ServiceEntry"
	KindVirtualService = "VirtualService"
	KindSidecar        = "Sidecar"
)

// Source is the source of an object's problems: "ServiceEntry NAMESPACE/NAME",
// or "MeshConfig".
func Source(kind string, m Meta) string {
	if kind == KindMesh {
		return KindMesh
	}
	return kind + " " + m.Namespace + "/" + m.Name
}

// compareSources is the order of kind, namespace and name: a blank and a slash are
// not part of any of them, and come before what is.
func compareSources(a, b problem.Problem) int {
	rank := func(c byte) byte {
		if c == '/' {
			return 0
		}
		return c
	}
	for i := range min(len(a.Source), len(b.Source)) {
		if c := cmp.Compare(rank(a.Source[i]), rank(b.Source[i])); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a.Source), len(b.Source))
}

// reporter collects the problems of one object.
type reporter struct {
	kind string
	meta Meta
	all  *problem.List
}

// maxPath bounds a path, in bytes: the name of a header may be as long as an
// object.
const maxPath = 256

// again bounds how many problems are compared with a new one: an object may have a
// hundred thousand.
const again = 256

// add adds a problem once: one of the resolution, for one, is found for each host
// and port.
func (r reporter) add(p problem.Problem) {
	p.Source, p.Path = Source(r.kind, r.meta), problem.Clip(p.Path, maxPath)
	for i, q := range slices.Backward(*r.all) {
		if i < len(*r.all)-again {
			break
		}
		if q == p {
			return
		}
		if q.Source != p.Source {
			break // another object's
		}
	}
	r.all.Add(p)
}

// hasErrors reports whether there is an error among the problems from a number on.
func (r reporter) hasErrors(from int) bool {
	return slices.ContainsFunc((*r.all)[from:], func(p problem.Problem) bool { return p.Severity == problem.Error })
}

// fault adds a problem that was found without its place. fix is for one that has
// none of its own.
func (r reporter) fault(p problem.Problem, path, fix string) {
	if p.Fix == "" {
		p.Fix = fix
	}
	r.add(p.At(path))
}

func (r reporter) error(path, value, rule, fix string) {
	r.add(problem.Invalid(path, value, rule, fix))
}

func (r reporter) warn(path, value, rule, fix string) {
	r.add(problem.Invalid(path, value, rule, fix).AsWarning())
}
