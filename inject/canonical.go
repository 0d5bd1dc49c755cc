package inject

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/outrider-mesh/outrider/internal/jsontree"
)

// canonical converts a template's output to the form of the API server; otherwise a
// second admission would find spurious differences: numbers and booleans become
// strings where the pod type has strings (templates have "- 15001" in args),
// quantities get their canonical form, and in new list items (item is set below
// them) zero values that the API server does not keep are removed. Elsewhere a zero
// stays, as it may override the pod's value.
func canonical(n *jsontree.Node, s *schema, item bool) *jsontree.Node {
	if s == nil || n.Kind() != jsontree.Object {
		return n
	}
	for _, m := range n.Members() {
		f := s.field(m.Key)
		value := canonicalValue(m.Value, f, item)
		switch {
		case item && f.omitZero && isZero(value):
			n = n.Without(m.Key)
		case value != m.Value:
			n = n.With(m.Key, value)
		}
	}
	return n
}

func canonicalValue(n *jsontree.Node, f *field, item bool) *jsontree.Node {
	switch {
	case f.text:
		return textOf(n)
	case f.quantity:
		return quantityOf(n)
	case f.child != nil && n.Kind() == jsontree.Object:
		return canonical(n, f.child, item)
	case f.child != nil && n.Kind() == jsontree.Array:
		item = item || f.mergeKey == "name"
		return mapItems(n, func(e *jsontree.Node) *jsontree.Node { return canonical(e, f.child, item) })
	}
	return n
}

func isZero(n *jsontree.Node) bool {
	switch n.Kind() {
	case jsontree.Scalar:
		return n.JSON() == "0" || n.JSON() == "false"
	case jsontree.String:
		return n.Text() == ""
	case jsontree.Array:
		return len(n.Items()) == 0
	case jsontree.Object: // a map: an object type has a child and no zero here
		return len(n.Members()) == 0
	}
	return false
}

func textOf(n *jsontree.Node) *jsontree.Node {
	switch n.Kind() {
	case jsontree.Scalar:
		return jsontree.NewString(n.JSON())
	case jsontree.Array:
		return mapItems(n, textOf)
	case jsontree.Object:
		out := n
		for _, m := range n.Members() {
			if value := textOf(m.Value); value != m.Value {
				out = out.With(m.Key, value)
			}
		}
		return out
	}
	return n
}

func quantityOf(n *jsontree.Node) *jsontree.Node {
	switch n.Kind() {
	case jsontree.Scalar, jsontree.String:
		q, err := resource.ParseQuantity(textOf(n).Text())
		if err != nil {
			return n // decoding as a pod reports it
		}
		return jsontree.NewString(q.String())
	case jsontree.Object:
		for _, m := range n.Members() {
			n = n.With(m.Key, quantityOf(m.Value))
		}
	}
	return n
}

func mapItems(list *jsontree.Node, f func(*jsontree.Node) *jsontree.Node) *jsontree.Node {
	items := slices.Clone(list.Items())
	changed := false
	for i := range items {
		item := f(items[i])
		changed = changed || item != items[i]
		items[i] = item
	}
	if !changed {
		return list
	}
	return jsontree.NewArray(items...)
}
