// Package jsontree holds a JSON document as an immutable tree. Parse returns one that is
// parsed only where it is accessed, Read one that is complete.
//
// Injection touches a small part of a pod. A node that was never accessed
// stays the text it came from: it costs nothing to keep, to compare with itself
// and to write again, and everything in it (fields newer than the API types here,
// unusual number formats) is preserved to the byte.
//
// Every "changing" method returns a new node and leaves the old one as it is.
// Reading a node of Parse for the first time fills in its children, so a tree must not
// be shared between goroutines before Seal was called on it.
//
// Everything that a tree of Parse or Read returns refers to the text: a string kept longer
// than the tree keeps the text in memory.
package jsontree

import (
	"strings"

	"github.com/tidwall/gjson"
)

// Kind is the JSON type of a node.
type Kind uint8

// The kinds. Scalars other than strings need no distinction here.
const (
	Scalar Kind = iota // number, true, false
	Null
	String
	Array
	Object
)

// Member is one key of an object with its value.
type Member struct {
	Key   string
	Value *Node
}

// Node is one JSON value.
type Node struct {
	raw      string // the value's text, unless changed
	children *children
	kind     Kind
	changed  bool // raw is stale: this node was built, not parsed
	plain    bool // a string without escapes
	clean    bool // Seal found no null and no "$..." key at or below this node
}

// children are those of an array or object, not in the node: most nodes have none.
type children struct {
	members []Member
	items   []*Node
}

// parent is an array or object with its children.
type parent struct {
	Node
	children
}

// newParent returns an array or object that is built.
func newParent(kind Kind, c children) *Node {
	p := &parent{Node{kind: kind, changed: true}, c}
	p.Node.children = &p.children
	return &p.Node
}

// Parse returns the tree of a JSON text that is known to be valid (it has been
// decoded before); it does not check. The tree refers to text.
func Parse(text string) *Node {
	return fromText(strings.TrimSpace(text))
}

func fromText(raw string) *Node {
	n := &Node{raw: raw}
	if raw == "" {
		n.kind, n.raw = Null, "null"
		return n
	}
	switch raw[0] {
	case '{':
		n.kind = Object
	case '[':
		n.kind = Array
	case '"':
		n.kind = String
	case 'n':
		n.kind = Null
	}
	return n
}

// NewObject returns an object with the given members, in their order.
func NewObject(members ...Member) *Node {
	return newParent(Object, children{members: members})
}

// NewArray returns an array of the given items.
func NewArray(items ...*Node) *Node {
	return newParent(Array, children{items: items})
}

// NewString returns a string node.
func NewString(s string) *Node {
	// An eighth is enough for the escapes of most texts that are JSON themselves.
	return &Node{kind: String, raw: string(AppendString(make([]byte, 0, len(s)+len(s)/8+2), s))}
}

// Kind returns the node's JSON type; a nil node is Null.
func (n *Node) Kind() Kind {
	if n == nil {
		return Null
	}
	return n.kind
}

// Text returns the decoded text of a string node, "" for any other.
func (n *Node) Text() string {
	if n == nil || n.kind != String || len(n.raw) < 2 {
		return ""
	}
	inner := n.raw[1 : len(n.raw)-1]
	if n.plain || strings.IndexByte(inner, '\\') < 0 {
		return inner
	}
	return unquoted(n.raw)
}

// unquoted is the text of a string with escapes.
func unquoted(raw string) string { return gjson.Parse(raw).String() }

// Members returns the members of an object in the order of the text. Callers
// must not change the slice.
func (n *Node) Members() []Member {
	if n == nil || n.kind != Object {
		return nil
	}
	return n.filled().members
}

// Items returns the items of an array. Callers must not change the slice.
func (n *Node) Items() []*Node {
	if n == nil || n.kind != Array {
		return nil
	}
	return n.filled().items
}

// Get returns the value of a key, nil when the node is no object or has no such key.
func (n *Node) Get(key string) *Node {
	for _, m := range n.Members() {
		if m.Key == key {
			return m.Value
		}
	}
	return nil
}

// At follows a path of object keys.
func (n *Node) At(path ...string) *Node {
	for _, key := range path {
		n = n.Get(key)
	}
	return n
}

// With returns the object with key set to value, at its place or at the end. A
// node that is no object counts as an empty one.
func (n *Node) With(key string, value *Node) *Node {
	old := n.Members()
	members := make([]Member, len(old), len(old)+1)
	copy(members, old)
	for i := range members {
		if members[i].Key == key {
			members[i].Value = value
			return NewObject(members...)
		}
	}
	return NewObject(append(members, Member{key, value})...)
}

// Without returns the object without key.
func (n *Node) Without(key string) *Node {
	old := n.Members()
	members := make([]Member, 0, len(old))
	for _, m := range old {
		if m.Key != key {
			members = append(members, m)
		}
	}
	if len(members) == len(old) {
		return n
	}
	return NewObject(members...)
}

// Put sets the value at a path of object keys, making the objects on the way.
func (n *Node) Put(value *Node, path ...string) *Node {
	if len(path) == 0 {
		return value
	}
	return n.With(path[0], n.Get(path[0]).Put(value, path[1:]...))
}

// filled are the children of an array or object, which are read from the text once.
func (n *Node) filled() *children {
	if n.children == nil {
		n.fill()
	}
	return n.children
}

func (n *Node) fill() {
	n.children = &children{}
	s := scanner{text: n.raw, at: 1}
	if n.kind == Array {
		n.children.items = make([]*Node, 0, 4)
		for s.more() {
			n.children.items = append(n.children.items, fromText(s.value()))
		}
		return
	}
	n.children.members = make([]Member, 0, 8)
	for s.more() {
		key := fromText(s.value()).Text()
		s.more() // to the value
		n.children.members = append(n.children.members, Member{key, fromText(s.value())})
	}
}

// Seal reads the whole tree, so that any number of goroutines may look at it.
func (n *Node) Seal() *Node {
	n.clean = n.kind != Null
	for _, item := range n.Items() {
		n.clean = item.Seal().clean && n.clean
	}
	for _, m := range n.Members() {
		n.clean = m.Value.Seal().clean && n.clean && !strings.HasPrefix(m.Key, "$")
	}
	return n
}

// Clean reports that Seal found neither null nor a key that begins with "$" (a
// directive of strategic merge patch) in the tree.
func (n *Node) Clean() bool { return n.clean }

// AppendTo appends the node's JSON text. Parts that were never changed are
// appended as they came.
func (n *Node) AppendTo(dst []byte) []byte {
	switch {
	case n == nil:
		return append(dst, "null"...)
	case !n.changed:
		return append(dst, n.raw...)
	case n.kind == Array:
		dst = append(dst, '[')
		for i, item := range n.Items() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = item.AppendTo(dst)
		}
		return append(dst, ']')
	}
	dst = append(dst, '{')
	for i, m := range n.Members() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, m.Key)
		dst = append(dst, ':')
		dst = m.Value.AppendTo(dst)
	}
	return append(dst, '}')
}

// JSON returns the node's JSON text. It shares the text of an unchanged node.
func (n *Node) JSON() string {
	if n != nil && !n.changed {
		return n.raw
	}
	return string(n.AppendTo(nil))
}

// Equal reports whether two trees hold the same JSON value: the order of keys does
// not matter, the spelling of numbers does.
func Equal(a, b *Node) bool {
	if a == b {
		return true
	}
	if a.Kind() != b.Kind() {
		return false
	}
	if a.Kind() == Null {
		return true
	}
	if !a.changed && !b.changed && a.raw == b.raw {
		return true
	}
	switch a.kind {
	case String:
		return a.Text() == b.Text()
	case Array:
		return equalItems(a.Items(), b.Items())
	case Object:
		return equalMembers(a, b)
	}
	return a.raw == b.raw
}

func equalItems(a, b []*Node) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func equalMembers(a, b *Node) bool {
	if len(a.Members()) != len(b.Members()) {
		return false
	}
	find := b.Finder()
	for _, m := range a.Members() {
		other := find(m.Key)
		if other == nil || !Equal(m.Value, other) {
			return false
		}
	}
	return true
}
