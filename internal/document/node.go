// Package document reads YAML (and so JSON) node by node, so that whatever is
// wrong in a document has a line and a column: syntax, duplicate keys, unknown
// fields with the nearest known one, values of the wrong type.
//
// All functions are pure and bounded: nesting, expanded aliases and messages
// have limits, and no input makes them panic.
package document

import (
	"encoding/json"
	"strconv"
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
	Line, Column int // from 1; 0 for a value that no document holds
	Kind         Kind
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

// Quoted is a scalar in quotes, cut to a readable length, or the node's kind.
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
		return Quote(n.Text)
	}
	return Cut(n.Text)
}

// maxShown bounds what a message repeats of a value, in bytes.
const maxShown = 80

// Quote is s in quotes, cut to a readable length.
func Quote(s string) string { return strconv.Quote(Cut(s)) }

// Cut shortens s to a readable length.
func Cut(s string) string {
	if len(s) <= maxShown {
		return s
	}
	cut := maxShown
	for cut > 0 && s[cut]&0xC0 == 0x80 { // not inside a rune
		cut--
	}
	return s[:cut] + "…"
}

// Fault is one thing wrong with a document.
type Fault struct {
	Line, Column int
	Path         string // a.b[2].c, from the root the caller named
	Value        string // as Node.Quoted
	Rule         string
	Fix          string
	Unknown      bool // an unknown field, which the caller may forgive
}

// String is the fault without its document's name.
func (f Fault) String() string {
	s := ""
	if f.Line > 0 {
		s = "line " + strconv.Itoa(f.Line) + ", column " + strconv.Itoa(f.Column) + ": "
	}
	if f.Path != "" {
		s += f.Path + ": "
	}
	if f.Value != "" {
		s += f.Value + ": "
	}
	s += f.Rule
	if f.Fix != "" {
		s += "; " + f.Fix
	}
	return s
}

func (n *Node) fault(path, rule, fix string) Fault {
	return Fault{Line: n.Line, Column: n.Column, Path: path, Value: n.Quoted(), Rule: rule, Fix: fix}
}

// Fault makes a fault about the node.
func (n *Node) Fault(path, rule, fix string) Fault { return n.fault(path, rule, fix) }

// Unknown makes the fault of a field whose name is not among known.
func (f Field) Unknown(path string, known []string) Fault {
	out := Fault{Line: f.Line, Column: f.Column, Path: path, Rule: "unknown key", Unknown: true}
	if near := Nearest(f.Name, known); near != "" {
		out.Fix = "did you mean " + strconv.Quote(near) + "?"
	}
	return out
}

// Join is the path of a field below path.
func Join(path, name string) string {
	for _, r := range name {
		if r == '.' || r == '[' || r == '"' || r <= ' ' {
			name = "[" + Quote(name) + "]"
			return path + name
		}
	}
	if path == "" {
		return Cut(name)
	}
	return path + "." + Cut(name)
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
