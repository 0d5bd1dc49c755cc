// Package document reads YAML (and so JSON) node by node, so that every problem in
// a document has a line and a column: syntax, duplicate keys, unknown fields with
// the nearest known one, values of the wrong type.
//
// All functions are pure and bounded: nesting, expanded aliases and messages
// have limits, and no input makes them panic.
//
// Files, each using only those before it: nearest.go (names close to a
// misspelt one), node.go (the tree), load.go (text to tree), object.go and
// proto.go (tree to a Kubernetes object or a protobuf message).
package document

import (
	"encoding/json"
	"strconv"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Kind is the kind of a Node.
type Kind uint8

// The kinds, JSON's.
const (
	Null Kind = iota
	Bool
	Number
	String
	List
	Map
)

// String is the kind in words, with its article.
func (k Kind) String() string {
	return [...]string{"nothing", "a boolean", "a number", "a string", "a list", "a mapping"}[k]
}

// Node is one value of a document, aliases and merge keys resolved.
type Node struct {
	Line, Column int // from 1; 0 for a value that is not from a document
	Kind         Kind
	Block        bool    // a scalar in YAML block style: its text begins on the next line
	Text         string  // of a scalar, as written, without quotes
	Value        any     // of a scalar: nil, bool, int64, float64, string
	Items        []*Node // of a List
	Fields       []Field // of a Map, in the order of the document, no duplicates
}

// Field is one entry of a Map.
type Field struct {
	Name         string
	Line, Column int
	Value        *Node
}

// Get is the value of a field, or nil.
func (n *Node) Get(name string) *Node {
	if n == nil {
		return nil
	}
	for i := range n.Fields {
		if n.Fields[i].Name == name {
			return n.Fields[i].Value
		}
	}
	return nil
}

// Any is the node as nil, bool, int64, float64, string, []any, map[string]any.
func (n *Node) Any() any {
	if n == nil {
		return nil
	}
	switch n.Kind {
	case List:
		out := make([]any, len(n.Items))
		for i, item := range n.Items {
			out[i] = item.Any()
		}
		return out
	case Map:
		out := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			out[f.Name] = f.Value.Any()
		}
		return out
	}
	return n.Value
}

// Quoted is a scalar as messages show it, or the node's kind.
func (n *Node) Quoted() string {
	if n == nil {
		return ""
	}
	switch n.Kind {
	case List, Map:
		return n.Kind.String()
	case Null:
		return "null"
	case String:
		return problem.Quote(n.Text)
	}
	return problem.Short(n.Text)
}

// Problem is a rule that the node's value breaks.
func (n *Node) Problem(path, rule, fix string) problem.Problem {
	return n.Locate(problem.Invalid(path, "", rule, fix))
}

// Locate is a problem at the node's line and column, about its value unless the
// problem has one.
func (n *Node) Locate(p problem.Problem) problem.Problem {
	if p.Value == "" {
		p.Value = n.Quoted()
	}
	return p.On(n.Line, n.Column)
}

// Locate is a problem at the line and column of the field's name.
func (f Field) Locate(p problem.Problem) problem.Problem { return p.On(f.Line, f.Column) }

// Unknown is the problem of a field whose name is not among known.
func (f Field) Unknown(path string, known []string) problem.Problem {
	return f.Locate(problem.Unknown(path, "key", Nearest(f.Name, known)))
}

// Join is the path of a field below path.
func Join(path, name string) string {
	for _, r := range name {
		if r == '.' || r == '[' || r == '"' || r <= ' ' {
			name = "[" + problem.Quote(name) + "]"
			return path + name
		}
	}
	if path == "" {
		return problem.Short(name)
	}
	return path + "." + problem.Short(name)
}

// Index is the path of a list's element.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// marshal is JSON of what Node.Any returns; such values always have one.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return []byte("null")
	}
	return b
}
