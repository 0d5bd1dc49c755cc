package egress

import (
	"cmp"
	"slices"
	"time"
)

// Meta identifies an object.
type Meta struct {
	Namespace, Name string
	Created         time.Time // an older object wins a conflict
}

// compareMeta is the order in which objects win a conflict within a namespace:
// the oldest, and between equals the one whose name comes first.
func compareMeta(a, b Meta) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func sorted[T any](in []T, meta func(T) Meta) []T {
	out := slices.Clone(in)
	slices.SortStableFunc(out, func(a, b T) int { return compareMeta(meta(a), meta(b)) })
	return out
}

// exports says which namespaces see an object.
type exports struct {
	all        bool
	namespaces []string
}

// readExports reads exportTo: nothing and "*" are all namespaces, "." is the
// object's own, "~" none.
func readExports(list []string, m Meta) exports {
	e := exports{all: len(list) == 0}
	for _, ns := range list {
		switch ns {
		case "*":
			e.all = true
		case ".":
			e.namespaces = append(e.namespaces, m.Namespace)
		case "~":
		default:
			e.namespaces = append(e.namespaces, ns)
		}
	}
	return e
}

func (e exports) to(namespace string) bool {
	if e.all {
		return true
	}
	for _, ns := range e.namespaces {
		if ns == namespace {
			return true
		}
	}
	return false
}

func (e exports) none() bool { return !e.all && len(e.namespaces) == 0 }
