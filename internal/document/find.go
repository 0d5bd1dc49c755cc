package document

import "strings"

// At follows field names, and is nil where one does not exist.
func (n *Node) At(names ...string) *Node {
	for _, name := range names {
		n = n.Get(name)
	}
	return n
}

// IsScalar reports a boolean, a number or a string.
func (n *Node) IsScalar() bool {
	return n != nil && (n.Kind == Bool || n.Kind == Number || n.Kind == String)
}

// Str is the text of a scalar, or "".
func (n *Node) Str() string {
	if !n.IsScalar() {
		return ""
	}
	return n.Text
}

// Has reports a value other than null at a path of field names joined by dots.
func (n *Node) Has(path string) bool {
	m := n.At(strings.Split(path, ".")...)
	return m != nil && m.Kind != Null
}

// HasKey reports a field of one of the names, whatever its value.
func (n *Node) HasKey(names ...string) bool {
	for _, name := range names {
		if n.Get(name) != nil {
			return true
		}
	}
	return false
}
