package egress

import (
	"cmp"
	"fmt"
	"slices"
)

// mention is what one object says about one host.
type mention struct {
	key        string // claims of one key are in conflict
	path, host string
	meta       Meta
	exports    exports
}

// CrossNamespaceConflicts warns whoever stores an object that objects of other namespaces have
// a host of it, too, and says which comes first. It is not among the problems of
// Build: namespaces that each declare a host are no mistake, but it may surprise
// what the others then see.
func (m *Model) CrossNamespaceConflicts(kind, namespace, name string) Problems {
	var out Problems
	all := m.mentions(kind)
	byKey := map[string][]mention{}
	for _, c := range all {
		byKey[c.key] = append(byKey[c.key], c)
	}
	for _, own := range all {
		if own.meta.Namespace != namespace || own.meta.Name != name {
			continue
		}
		rivals := slices.DeleteFunc(slices.Clone(byKey[own.key]), func(c mention) bool { return !sharedAudience(own, c) })
		if len(rivals) == 0 {
			continue
		}
		rival := slices.MinFunc(rivals, func(a, b mention) int { return m.comparePrecedence(a.meta, b.meta) })
		m.warnPrecedence(own, rival, len(rivals)-1, reporter{kind, own.meta, &out})
	}
	return out
}

func (m *Model) mentions(kind string) (out []mention) {
	if kind == KindServiceEntry {
		for _, h := range m.hosts {
			out = append(out, mention{h.ClusterName(), "spec.hosts", h.Name, h.Meta, h.exports})
		}
		return out
	}
	for _, r := range m.routes {
		out = append(out, mention{r.host, r.path, r.host, r.meta, r.exports})
	}
	return out
}

// sharedAudience reports whether a third namespace sees both claims.
func sharedAudience(a, b mention) bool {
	if a.meta.Namespace == b.meta.Namespace || a.exports.none() || b.exports.none() {
		return false
	}
	if a.exports.all && b.exports.all {
		return true
	}
	return slices.ContainsFunc(slices.Concat(a.exports.namespaces, b.exports.namespaces), func(ns string) bool {
		return ns != a.meta.Namespace && ns != b.meta.Namespace && a.exports.to(ns) && b.exports.to(ns)
	})
}

// comparePrecedence is the order in a namespace that has no object of its own.
func (m *Model) comparePrecedence(a, b Meta) int {
	root := func(m2 Meta) int {
		if m2.Namespace == m.mesh.rootNamespace {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(root(a), root(b)), compareMeta(a, b))
}

func (m *Model) warnPrecedence(own, rival mention, more int, r reporter) {
	who := fmt.Sprintf("%s %s/%s", r.kind, rival.meta.Namespace, rival.meta.Name)
	if more > 0 {
		who += fmt.Sprintf(" (and %d more)", more)
	}
	const where = "for namespaces without one: it is "
	if m.comparePrecedence(own.meta, rival.meta) < 0 {
		r.warn(own.path, own.host, "this comes before "+who+" "+where+m.precedenceReason(own.meta, rival.meta), "if that is not meant, write exportTo")
		return
	}
	r.warn(own.path, own.host, who+" has it too, and comes first "+where+m.precedenceReason(rival.meta, own.meta), `for this namespace alone, write exportTo: ["."]`)
}

// precedenceReason says why one object comes before another.
func (m *Model) precedenceReason(first, second Meta) string {
	switch {
	case first.Namespace == m.mesh.rootNamespace && second.Namespace != m.mesh.rootNamespace:
		return "in the root namespace"
	case first.Created.Before(second.Created):
		return "older"
	}
	return "as old, and first by name"
}
