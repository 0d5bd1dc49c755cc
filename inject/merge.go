package inject

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/jsontree"
)

// merge applies a strategic merge patch to a tree, as the API server would:
// objects merge key by key, null removes, lists with a merge key merge item by
// item, all else is replaced. New list items go to the end, in the patch's order.
//
// The directives `$patch: delete` and `$patch: replace` are applied; those that only
// generated patches contain are rejected by name, never ignored.
func merge(original, patch *jsontree.Node, s *schema) (*jsontree.Node, error) {
	if name := unknownDirective(patch); name != "" {
		return nil, contradiction("the directive %s is not supported in a template; use $patch", name)
	}
	out, err := mergeObject(original, patch, s)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// unknownDirective finds a key such as $setElementOrder/containers.
func unknownDirective(n *jsontree.Node) string {
	if n.Clean() {
		return ""
	}
	for _, item := range n.Items() {
		if name := unknownDirective(item); name != "" {
			return name
		}
	}
	for _, m := range n.Members() {
		if strings.HasPrefix(m.Key, "$") && m.Key != "$patch" {
			return m.Key
		}
		if name := unknownDirective(m.Value); name != "" {
			return name
		}
	}
	return ""
}

// mergeError is a contradiction between template and pod; at grows on the way up, so
// that the path costs nothing without an error.
type mergeError struct{ at, what string }

func (e *mergeError) Error() string { return "pod" + e.at + ": " + e.what }

func contradiction(format string, args ...any) *mergeError {
	return &mergeError{what: fmt.Sprintf(format, args...)}
}

func (e *mergeError) under(key string) *mergeError {
	e.at = key + e.at
	return e
}

func mergeObject(original, patch *jsontree.Node, s *schema) (*jsontree.Node, *mergeError) {
	switch directive := patch.Get("$patch").Text(); directive {
	case "":
	case "replace":
		return dropDirectives(patch.Without("$patch")), nil
	case "delete":
		return jsontree.NewObject(), nil
	case "merge":
		patch = patch.Without("$patch")
	default:
		return nil, contradiction("unknown $patch value %q; must be merge, replace or delete", directive)
	}
	out := original
	for _, m := range patch.Members() {
		value, err := mergeValue(original.Get(m.Key), m.Value, s.field(m.Key))
		if err != nil {
			return nil, err.under("." + m.Key)
		}
		switch {
		case value == nil:
			out = out.Without(m.Key)
		case value != original.Get(m.Key):
			out = out.With(m.Key, value)
		}
	}
	if out == nil {
		out = jsontree.NewObject()
	}
	return out, nil
}

// mergeValue returns the merged value of one key, nil when it is to be removed,
// and the original node itself when nothing changes.
func mergeValue(original, patch *jsontree.Node, f *field) (*jsontree.Node, *mergeError) {
	switch {
	case patch.Kind() == jsontree.Null:
		return nil, nil
	case original == nil && f.omitZero && f.child == nil && isZero(patch):
		return nil, nil // absent is zero
	case original.Kind() == jsontree.Null && patch.Clean():
		return patch, nil
	case patch.Kind() == jsontree.Object:
		if original.Kind() != jsontree.Null && original.Kind() != jsontree.Object {
			return nil, contradiction("the template has an object, the pod a list or a scalar")
		}
		return mergeObject(original, patch, f.child)
	case patch.Kind() == jsontree.Array:
		if original.Kind() != jsontree.Null && original.Kind() != jsontree.Array {
			return nil, contradiction("the template has a list, the pod an object or a scalar")
		}
		return mergeList(original, patch, f)
	case jsontree.Equal(original, patch):
		return original, nil
	}
	return patch, nil
}

func mergeList(original, patch *jsontree.Node, f *field) (*jsontree.Node, *mergeError) {
	switch {
	case f.mergeKey != "":
		return mergeByKey(original, patch, f)
	case f.mergePrimitives:
		return union(original, patch), nil
	case jsontree.Equal(original, patch):
		return original, nil
	}
	return dropDirectives(patch), nil
}

// mergeByKey merges two lists of objects whose items are identified by a key.
func mergeByKey(original, patch *jsontree.Node, f *field) (*jsontree.Node, *mergeError) {
	items := append([]*jsontree.Node(nil), original.Items()...)
	changed := false
	for n, p := range patch.Items() {
		key := p.Get(f.mergeKey)
		directive := p.Get("$patch").Text()
		if key == nil && directive == "replace" {
			items, changed = nil, true
			continue
		}
		if key == nil {
			return nil, contradiction("item %d of the template: merge key %q is missing", n+1, f.mergeKey)
		}
		i := indexBy(items, f.mergeKey, key)
		if directive == "delete" {
			if i >= 0 {
				items, changed = append(items[:i:i], items[i+1:]...), true
			}
			continue
		}
		switch {
		case i < 0 && p.Clean():
			items, changed = append(items, p), true
		case i < 0:
			items, changed = append(items, dropDirectives(p)), true
		default:
			merged, err := mergeObject(items[i], p, f.child)
			if err != nil {
				return nil, err.under("[" + key.Text() + "]")
			}
			changed = changed || merged != items[i]
			items[i] = merged
		}
	}
	if !changed && original != nil {
		return original, nil
	}
	return jsontree.NewArray(items...), nil
}

func indexBy(items []*jsontree.Node, mergeKey string, key *jsontree.Node) int {
	for i, item := range items {
		if jsontree.Equal(item.Get(mergeKey), key) {
			return i
		}
	}
	return -1
}

// indexOfName is the index of the item of a name, -1 for none.
func indexOfName(items []*jsontree.Node, name string) int {
	return slices.IndexFunc(items, func(item *jsontree.Node) bool {
		n := item.Get("name")
		return n.Kind() == jsontree.String && n.Text() == name
	})
}

// union adds the scalars of the patch that the original lacks.
func union(original, patch *jsontree.Node) *jsontree.Node {
	items := append([]*jsontree.Node(nil), original.Items()...)
	for _, p := range patch.Items() {
		known := false
		for _, item := range items {
			known = known || jsontree.Equal(item, p)
		}
		if !known {
			items = append(items, p)
		}
	}
	if original != nil && len(items) == len(original.Items()) {
		return original
	}
	return jsontree.NewArray(items...)
}

// withoutDeletes is a patch without the items that only delete.
func withoutDeletes(n *jsontree.Node) *jsontree.Node {
	if n.Clean() {
		return n
	}
	out := n
	for _, m := range n.Members() {
		if value := withoutDeletes(m.Value); value != m.Value {
			out = out.With(m.Key, value)
		}
	}
	if n.Kind() != jsontree.Array {
		return out
	}
	items := make([]*jsontree.Node, 0, len(n.Items()))
	for _, item := range n.Items() {
		if item.Get("$patch").Text() != "delete" {
			items = append(items, withoutDeletes(item))
		}
	}
	return jsontree.NewArray(items...)
}

// dropDirectives removes nulls and directives from a part of the patch that
// goes into the pod as it is.
func dropDirectives(n *jsontree.Node) *jsontree.Node {
	if n.Clean() {
		return n
	}
	switch n.Kind() {
	case jsontree.Array:
		items := make([]*jsontree.Node, 0, len(n.Items()))
		for _, item := range n.Items() {
			directive := item.Get("$patch").Text()
			if directive == "delete" || directive == "replace" && len(item.Members()) == 1 {
				continue // there is nothing to delete or replace yet
			}
			items = append(items, dropDirectives(item))
		}
		return jsontree.NewArray(items...)
	case jsontree.Object:
		members := make([]jsontree.Member, 0, len(n.Members()))
		for _, m := range n.Members() {
			if m.Value.Kind() != jsontree.Null && m.Key != "$patch" {
				members = append(members, jsontree.Member{Key: m.Key, Value: dropDirectives(m.Value)})
			}
		}
		return jsontree.NewObject(members...)
	}
	return n
}
