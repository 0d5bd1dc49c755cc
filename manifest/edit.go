package manifest

import (
	"slices"
	"strings"
)

// edit replaces the document's text from start to end by the editor's own text
// between from and to.
type edit struct {
	start, end int
	from, to   int
}

// editor turns the difference between a document and the intended one into edits
// of its text. Whole lines are inserted and deleted: an insertion starts with the
// line break and ends without one, so that a document without a final line break
// stays so.
type editor struct {
	doc    *document
	text   string
	nl     string
	dashes int
	edits  []edit
	out    []byte // the texts of the edits
	failed bool   // something has no edit: the document is rewritten instead

	around   []*node        // anchored nodes around the place that is compared
	touched  map[*node]bool // anchored nodes with an edit inside
	replaced map[*node]bool // aliases that were edited themselves
}

// slot is the place of a value: in a block mapping or sequence whose keys or
// dashes are in column col, or in a flow collection.
type slot struct {
	flow, item bool
	col        int
	lead, unit string // how the entries of a flow collection are laid out
}

// inner is the slot of what is in n.
func (e *editor) inner(n *node) slot {
	s := slot{flow: n.style == flowStyle, item: n.kind == sequenceKind, col: n.col}
	if s.flow && len(n.items) > 0 {
		_, s.lead, s.unit = e.flowLayout(n)
	}
	return s
}

// newEditor edits a document; out is space for the texts of the edits.
func newEditor(d *document, out []byte) *editor {
	e := &editor{doc: d, text: d.text, nl: "\n", dashes: 2, out: out}
	if body := d.text[d.roots[0].start:]; strings.Count(body, "\r\n")*2 > strings.Count(body, "\n") {
		e.nl = "\r\n"
	}
	return e
}

// detectDashes takes the way sequences are indented from the object's own, by
// majority of its first levels.
func (e *editor) detectDashes(n *node) {
	flat, deep := countDashes(n, 8)
	if flat >= deep && flat > 0 {
		e.dashes = 0
	}
}

func countDashes(n *node, depth int) (flat, deep int) {
	if depth == 0 || n.style == flowStyle {
		return 0, 0
	}
	for i, v := range n.items {
		if n.kind == mappingKind && v.kind == sequenceKind && v.style != flowStyle && i%2 == 1 {
			if v.col == n.col {
				flat++
			} else {
				deep++
			}
		}
		f, d := countDashes(v, depth-1)
		flat, deep = flat+f, deep+d
	}
	return flat, deep
}

// remove removes the text between start and end.
func (e *editor) remove(start, end int) { e.put(start, end, e.out) }

// put replaces the text between start and end by what out has in addition to the
// editor's texts so far.
func (e *editor) put(start, end int, out []byte) {
	e.edits = append(e.edits, edit{start, end, len(e.out), len(out)})
	e.out = out
	for _, n := range e.around {
		if e.touched == nil {
			e.touched = map[*node]bool{}
		}
		e.touched[n] = true
	}
}

// diff adds the edits that turn n into want.
func (e *editor) diff(n, want *node, s slot) {
	if n == want {
		return
	}
	if n.kind == aliasKind {
		if !equal(n, want) {
			if e.replaced == nil {
				e.replaced = map[*node]bool{}
			}
			e.replaced[n] = true
			e.replace(n, want, s)
		}
		return
	}
	if n.anchor != "" {
		e.around = append(e.around, n)
		defer func() { e.around = e.around[:len(e.around)-1] }()
	}
	switch {
	case n.kind != want.kind, n.kind == scalarKind, len(n.items) == 0, len(want.items) == 0:
		if !equal(n, want) {
			e.replace(n, want, s)
		}
	case n.kind == mappingKind:
		e.mapping(n, want, s)
	default:
		e.sequence(n, want, s)
	}
}

func (e *editor) mapping(n, want *node, s slot) {
	old, new := n.entries(), want.entries()
	inOld, inNew := finder(old), finder(new)
	inner := e.inner(n)
	var add []entry
	var gone []*node
	for i, o := range old {
		j := inNew(i, o.key.text)
		switch {
		case j >= 0 && o.own:
			e.diff(o.value, new[j].value, inner)
		case j >= 0:
			if !equal(o.value, new[j].value) {
				add = append(add, new[j])
			}
		case !o.own:
			e.replace(n, want, s)
			return
		default:
			gone = append(gone, o.key)
		}
	}
	for j, w := range new {
		if inOld(j, w.key.text) < 0 {
			add = append(add, w)
		}
	}
	if len(gone) > 0 && 2*len(gone) == len(n.items) {
		e.replace(n, want, s)
		return
	}
	if n.style == flowStyle {
		e.deleteFlowKeys(n, gone)
		gone = nil
	}
	for _, key := range gone {
		e.deleteEntry(n, slices.Index(n.items, key))
	}
	if len(add) > 0 {
		e.addEntries(n, add)
	}
}

func (e *editor) sequence(n, want *node, s slot) {
	pairs := align(n.items, want.items)
	inner := e.inner(n)
	if !slices.ContainsFunc(pairs, func(p pair) bool { return p.old >= 0 && p.new >= 0 }) {
		e.replace(n, want, s)
		return
	}
	at := 0 // items of the old sequence passed so far
	for i := 0; i < len(pairs); i++ {
		switch p := pairs[i]; {
		case p.new < 0 && n.style == flowStyle:
			first := p.old
			for i+1 < len(pairs) && pairs[i+1].new < 0 && pairs[i+1].old == pairs[i].old+1 {
				i++
			}
			at = pairs[i].old + 1
			e.deleteFlow(n, first, at)
		case p.new < 0:
			e.deleteItem(n, p.old)
			at = p.old + 1
		case p.old < 0:
			first := p.new
			for i+1 < len(pairs) && pairs[i+1].old < 0 {
				i++
			}
			e.insertItems(n, at, want.items[first:pairs[i].new+1])
		default:
			e.diff(n.items[p.old], want.items[p.new], inner)
			at = p.old + 1
		}
	}
}

// expandAliases replaces every alias of an anchored node that was edited by the
// node's previous value.
func (e *editor) expandAliases(n *node, s slot) {
	if len(e.touched) == 0 {
		return
	}
	if n.kind == aliasKind {
		if e.touched[n.target] && !e.replaced[n] && !e.covered(n) {
			e.replace(n, n.target, s)
		}
		return
	}
	inner := e.inner(n)
	for i, v := range n.items {
		if n.kind == sequenceKind || i%2 == 1 {
			e.expandAliases(v, inner)
		}
	}
}

// covered reports whether an edit covers n already.
func (e *editor) covered(n *node) bool {
	return slices.ContainsFunc(e.edits, func(d edit) bool { return d.start <= n.start && n.end <= d.end })
}

// result applies the edits. ok is false when they overlap.
func (e *editor) result() (text string, ok bool) {
	if e.failed {
		return "", false
	}
	slices.SortStableFunc(e.edits, func(a, b edit) int { return a.start - b.start })
	size := len(e.text)
	for _, d := range e.edits {
		size += d.to - d.from
	}
	var out strings.Builder
	out.Grow(size)
	at := 0
	for _, d := range e.edits {
		if d.start < at {
			return "", false
		}
		out.WriteString(e.text[at:d.start])
		out.Write(e.out[d.from:d.to])
		at = d.end
	}
	out.WriteString(e.text[at:])
	return out.String(), true
}
