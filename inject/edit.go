package inject

import (
	"maps"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/jsontree"
)

func escape(key string) string { return string(jsontree.AppendPointer(nil, key)[1:]) }

func unescape(segment string) string {
	return strings.ReplaceAll(strings.ReplaceAll(segment, "~1", "/"), "~0", "~")
}

func itemNames(list *jsontree.Node) []string {
	var names []string
	for _, item := range list.Items() {
		names = append(names, item.Get("name").Text())
	}
	return names
}

// reorder sorts the items of a list by names; items that others have added since come
// last.
func reorder(pod *jsontree.Node, list string, names []string) *jsontree.Node {
	items := slices.Clone(pod.At("spec", list).Items())
	if len(items) == 0 {
		return pod
	}
	place := func(item *jsontree.Node) int {
		if i := slices.Index(names, item.Get("name").Text()); i >= 0 {
			return i
		}
		return len(names)
	}
	slices.SortStableFunc(items, func(a, b *jsontree.Node) int { return place(a) - place(b) })
	return pod.Put(jsontree.NewArray(items...), "spec", list)
}

func removeAnnotations(pod *jsontree.Node, names ...string) *jsontree.Node {
	annotations := pod.At("metadata", "annotations")
	for _, name := range names {
		annotations = annotations.Without(name)
	}
	return pod.Put(annotations, "metadata", "annotations")
}

func removeNamed(pod *jsontree.Node, list string, names []string) *jsontree.Node {
	items := pod.At("spec", list).Items()
	kept := make([]*jsontree.Node, 0, len(items))
	for _, item := range items {
		if !slices.Contains(names, item.Get("name").Text()) {
			kept = append(kept, item)
		}
	}
	if len(kept) == len(items) {
		return pod
	}
	return pod.Put(jsontree.NewArray(kept...), "spec", list)
}

func splitPath(path string) []string {
	return strings.Split(strings.TrimPrefix(path, "/"), "/")
}

// listItem finds the index of the item that a segment [NAME] means, -1 for none.
func listItem(list *jsontree.Node, segment string) int {
	name := unescape(strings.TrimSuffix(strings.TrimPrefix(segment, "["), "]"))
	return indexOfName(list.Items(), name)
}

// setAt restores an earlier value. A path that does not exist any more stays so: it
// was removed on purpose.
func setAt(n *jsontree.Node, path []string, value *jsontree.Node) *jsontree.Node {
	if len(path) == 0 {
		return value
	}
	if n.Kind() == jsontree.Array {
		items := slices.Clone(n.Items())
		i := listItem(n, path[0])
		switch {
		case i >= 0:
			items[i] = setAt(items[i], path[1:], value)
		case len(path) == 1:
			items = append(items, value)
		}
		return jsontree.NewArray(items...)
	}
	key := unescape(path[0])
	if len(path) > 1 && n.Get(key) == nil {
		return n
	}
	return n.With(key, setAt(n.Get(key), path[1:], value))
}

// removeAt removes what was added. An object, or a list of named items, is removed
// only when it is empty: others may have added something to it since.
func removeAt(n *jsontree.Node, path []string) *jsontree.Node {
	if n.Kind() == jsontree.Array {
		i := listItem(n, path[0])
		if i < 0 {
			return n
		}
		items := slices.Clone(n.Items())
		if len(path) == 1 {
			return jsontree.NewArray(slices.Delete(items, i, i+1)...)
		}
		items[i] = removeAt(items[i], path[1:])
		return jsontree.NewArray(items...)
	}
	key := unescape(path[0])
	child := n.Get(key)
	switch {
	case child == nil:
		return n
	case len(path) > 1:
		return n.With(key, removeAt(child, path[1:]))
	case len(child.Members()) > 0, len(child.Items()) > 0 && child.Items()[0].Get("name") != nil:
		return n
	}
	return n.Without(key)
}

func sortedKeys[V any](m map[string]V) []string {
	if len(m) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(m))
}
