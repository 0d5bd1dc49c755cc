package egress

import (
	"cmp"
	"slices"
	"time"
)

// Meta identifies an object.
type Meta struct {
	Namespace, Name string
	Created         time.Time // in a conflict the older object takes precedence
	Generation      int64     // of its spec
}

// compareMeta is the order of precedence within a namespace: the oldest object
// first, and objects of the same age by namespace and name.
func compareMeta(a, b Meta) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func sorted[T any](in []T, meta func(T) Meta) []T {
	out := slices.Clone(in)
	slices.SortStableFunc(out, func(a, b T) int { return compareMeta(meta(a), meta(b)) })
	return out
}

// exports are the namespaces that an object is visible to.
type exports struct {
	all        bool
	namespaces []string
	stated     bool // by exportTo of the object
}

func (e exports) to(namespace string) bool { return e.all || slices.Contains(e.namespaces, namespace) }

// beyond reports whether an object is visible to another namespace than its own.
func (e exports) beyond(own string) bool {
	_, has := e.other(own)
	return has
}

// other is a namespace, besides its own, that sees an object; an empty name is one
// without objects.
func (e exports) other(own string) (namespace string, has bool) {
	if e.all {
		return "", true
	}
	for _, ns := range e.namespaces {
		if ns != own {
			return ns, true
		}
	}
	return "", false
}

func (e exports) none() bool { return !e.all && len(e.namespaces) == 0 }
