package document

import (
	"slices"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

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

// Place is the position of the value at a path as Join and Index write it, such as
// spec.ports[0].number: that of the key for a field, and of the value for an element of
// a list. Where the document ends before the path does, it is that of the last part
// that exists, and exact is false.
func (n *Node) Place(path string) (line, column int, exact bool) {
	if n == nil {
		return 0, 0, false
	}
	line, column = n.Line, n.Column
	for _, s := range steps(path) {
		switch {
		case n.Kind == Map && s.index < 0:
			i := slices.IndexFunc(n.Fields, func(f Field) bool { return f.Name == s.name || problem.Short(f.Name) == s.name })
			if i < 0 {
				return line, column, false
			}
			line, column, n = n.Fields[i].Line, n.Fields[i].Column, n.Fields[i].Value
		case n.Kind == List && s.index >= 0 && s.index < len(n.Items):
			n = n.Items[s.index]
			line, column = n.Line, n.Column
		default:
			return line, column, false
		}
	}
	return line, column, true
}

// step is a part of a path: the name of a field, or the index of an element.
type step struct {
	name  string
	index int // -1 for a field
}

// steps takes a path apart.
func steps(path string) (out []step) {
	for path != "" {
		switch path[0] {
		case '.':
			path = path[1:]
		case '[':
			inside, rest := bracket(path[1:])
			path = rest
			if i, err := strconv.Atoi(inside); err == nil {
				out = append(out, step{index: i})
				continue
			}
			if name, err := strconv.Unquote(inside); err == nil {
				inside = name
			}
			out = append(out, step{inside, -1})
		default:
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			out = append(out, step{path[:end], -1})
			path = path[end:]
		}
	}
	return out
}

// bracket is the text up to the closing bracket, which may be within quotes, and what
// follows it.
func bracket(text string) (inside, rest string) {
	if quoted, err := strconv.QuotedPrefix(text); err == nil {
		return quoted, strings.TrimPrefix(text[len(quoted):], "]")
	}
	inside, rest, _ = strings.Cut(text, "]")
	return inside, rest
}
