package egress

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// mention is one host of one object.
type mention struct {
	key        string // mentions with the same key conflict
	path, host string
	meta       Meta
	exports    exports
	address    bool // of a TCP or TLS host
}

// CrossNamespaceConflicts returns warnings about hosts of an object that
// objects of other namespaces have, too, with the one that takes precedence in
// the namespaces without an object of their own. They are not among the
// problems of Build: it is correct that several namespaces declare a host, but
// the result in the others may surprise.
func (m *Model) CrossNamespaceConflicts(kind, namespace, name string) problem.List {
	var out problem.List
	all := m.mentions(kind)
	byKey := map[string][]mention{}
	for _, other := range all {
		byKey[other.key] = append(byKey[other.key], other)
	}
	reported := map[Meta]bool{} // by its host, which is enough
	for _, own := range all {
		if own.meta.Namespace != namespace || own.meta.Name != name {
			continue
		}
		rivals := slices.DeleteFunc(slices.Clone(byKey[own.key]), func(other mention) bool {
			return !sharedAudience(own, other) || own.address && reported[other.meta]
		})
		rivals = slices.CompactFunc(rivals, func(a, b mention) bool { return a.meta == b.meta })
		if len(rivals) == 0 {
			continue
		}
		rival := slices.MinFunc(rivals, func(a, b mention) int { return m.comparePrecedence(a.meta, b.meta) })
		for _, rival := range rivals {
			reported[rival.meta] = true
		}
		m.warnPrecedence(own, rival, len(rivals)-1, reporter{kind, own.meta, &out})
	}
	return out
}

func (m *Model) mentions(kind string) (out []mention) {
	if kind == KindServiceEntry {
		for _, h := range m.hosts {
			out = append(out, mention{h.ClusterName(), h.path(), h.Name, h.Meta, h.exports, false})
			if h.AnyAddress {
				out = append(out, mention{h.addressKeys()[0], "spec.ports", fmt.Sprintf("TCP port %d", h.Port), h.Meta, h.exports, true})
				continue
			}
			for i, key := range h.addressKeys() {
				out = append(out, mention{key, "spec.addresses", h.Addresses[i].String(), h.Meta, h.exports, true})
			}
		}
		return out
	}
	for _, r := range m.routes {
		out = append(out, mention{r.host, r.path, r.host, r.meta, r.exports, false})
	}
	return out
}

// sharedAudience reports whether both mentions are visible to a third
// namespace.
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

// comparePrecedence is the order of precedence in a namespace without an object
// of its own.
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
	if m.comparePrecedence(own.meta, rival.meta) < 0 {
		r.warn(own.path, own.host, "takes precedence over "+who+" in other namespaces ("+m.precedenceReason(own.meta, rival.meta)+")", "set exportTo to limit it")
		return
	}
	r.warn(own.path, own.host, who+" takes precedence in other namespaces ("+m.precedenceReason(rival.meta, own.meta)+")", `set exportTo: ["."] to limit this one to its namespace`)
}

// precedenceReason is why one object takes precedence over another.
func (m *Model) precedenceReason(first, second Meta) string {
	switch {
	case first.Namespace == m.mesh.rootNamespace && second.Namespace != m.mesh.rootNamespace:
		return "root namespace"
	case first.Created.Before(second.Created):
		return "older"
	}
	return "alphabetical order"
}
