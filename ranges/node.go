package ranges

import (
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

type shape uint8

const (
	null shape = iota
	scalar
	list
	mapping
)

// node is one value of a document. Scalars are text, as written.
type node struct {
	shape  shape
	line   int
	text   string
	block  bool // a YAML block: the text begins on the next line
	items  []*node
	fields []field
}

type field struct {
	name  string
	line  int
	value *node
}

// get is the value of a field, or nil.
func (n *node) get(name string) *node {
	if n == nil {
		return nil
	}
	for i := range n.fields {
		if n.fields[i].name == name {
			return n.fields[i].value
		}
	}
	return nil
}

// at follows field names, and is nil where one is missing.
func (n *node) at(names ...string) *node {
	for _, name := range names {
		n = n.get(name)
	}
	return n
}

// str is the text of a scalar, or "".
func (n *node) str() string {
	if n == nil || n.shape != scalar {
		return ""
	}
	return n.text
}

// strings are the texts of a scalar or of a list of them.
func (n *node) strings() []string {
	var out []string
	for _, s := range n.find("", "") {
		out = append(out, s.node.text)
	}
	return out
}

// isTrue reports the boolean true, also where a string holds it.
func (n *node) isTrue() bool { return strings.EqualFold(n.str(), "true") }

// isFalse reports the boolean false, also where a string holds it.
func (n *node) isFalse() bool { return strings.EqualFold(n.str(), "false") }

// flat reports a mapping of scalars.
func (n *node) flat() bool {
	if n == nil || n.shape != mapping || len(n.fields) == 0 {
		return false
	}
	for _, f := range n.fields {
		if f.value.shape == mapping || f.value.shape == list && !flatList(f.value) {
			return false
		}
	}
	return true
}

// flatList reports a list of scalars.
func flatList(n *node) bool {
	if n.shape != list {
		return false
	}
	for _, item := range n.items {
		if item.shape == list || item.shape == mapping {
			return false
		}
	}
	return true
}

// found is a scalar and the path it was found at.
type found struct {
	node *node
	path string
}

// find returns the scalars at a path of field names joined by dots. Lists on
// the way, and at the end, stand for each of their elements. base is the path
// of n itself.
func (n *node) find(path, base string) []found {
	if n == nil {
		return nil
	}
	switch n.shape {
	case list:
		var out []found
		for i, item := range n.items {
			out = append(out, item.find(path, base+"["+strconv.Itoa(i)+"]")...)
		}
		return out
	case scalar:
		if path == "" && n.text != "" {
			return []found{{n, base}}
		}
	case mapping:
		if path == "" {
			return nil
		}
		name, rest, _ := strings.Cut(path, ".")
		return n.get(name).find(rest, join(base, name))
	}
	return nil
}

// has reports a value other than null at the path.
func (n *node) has(path string) bool {
	m := n.at(strings.Split(path, ".")...)
	return m != nil && m.shape != null
}

// hasKey reports a field, whatever its value.
func (n *node) hasKey(names ...string) bool {
	for _, name := range names {
		if n.get(name) != nil {
			return true
		}
	}
	return false
}

// join is the path of a field. A name that would read as several is bracketed.
func join(base, name string) string {
	if strings.ContainsAny(name, ".[ ") {
		return base + "[" + strconv.Quote(problem.Short(name)) + "]"
	}
	if base == "" {
		return problem.Short(name)
	}
	return base + "." + problem.Short(name)
}

func index(i int) string { return "[" + strconv.Itoa(i) + "]" }
