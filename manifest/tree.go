package manifest

import "github.com/outrider-mesh/outrider/internal/jsontree"

// importer turns the injected pod into nodes. The parts that come from a
// template that does not read the pod are the very same in pod after pod; their
// nodes are made once and kept.
type importer struct {
	mem  *arena
	kept map[*jsontree.Node]*node
}

// maxKept bounds what is kept: a sidecar is some 100 values of 200 bytes each,
// so this is about 2 MB for each worker. It suffices for the parts of some ten
// different sidecars. Templates that read the pod make new parts each time;
// then everything is dropped now and then.
const maxKept = 100

// node is the value of n.
func (m *importer) node(n *jsontree.Node) *node {
	if !n.Clean() {
		return m.fresh(n, m.mem.new())
	}
	if out := m.kept[n]; out != nil {
		return out
	}
	out := m.lasting(n)
	if len(m.kept) == maxKept {
		clear(m.kept)
	}
	if m.kept == nil {
		m.kept = map[*jsontree.Node]*node{}
	}
	m.kept[n] = out
	return out
}

// fresh fills in out, whose parts live as long as the document.
func (m *importer) fresh(n *jsontree.Node, out *node) *node {
	switch n.Kind() {
	case jsontree.Object:
		members := n.Members()
		out.kind, out.items = mappingKind, make([]*node, 0, 2*len(members))
		for _, member := range members {
			key := m.mem.new()
			key.text = member.Key
			out.items = append(out.items, key, m.node(member.Value))
		}
	case jsontree.Array:
		out.kind, out.items = sequenceKind, make([]*node, 0, len(n.Items()))
		for _, item := range n.Items() {
			out.items = append(out.items, m.node(item))
		}
	default:
		out.scalar(n)
	}
	return out
}

// lasting is a value that outlives the document: nothing of it is the arena's.
func (m *importer) lasting(n *jsontree.Node) *node {
	out := &node{}
	switch n.Kind() {
	case jsontree.Object:
		out.kind = mappingKind
		for _, member := range n.Members() {
			out.items = append(out.items, &node{text: member.Key}, m.lasting(member.Value))
		}
	case jsontree.Array:
		out.kind = sequenceKind
		for _, item := range n.Items() {
			out.items = append(out.items, m.lasting(item))
		}
	default:
		out.scalar(n)
	}
	return out
}

// scalar takes over a string, number, boolean or null. Numbers are spelled as
// the parser would.
func (n *node) scalar(from *jsontree.Node) {
	switch from.Kind() {
	case jsontree.String:
		n.text = from.Text()
	case jsontree.Null:
		n.tag, n.text = nullTag, "null"
	default:
		n.tag, n.text, _ = resolvePlain(from.JSON())
	}
}
