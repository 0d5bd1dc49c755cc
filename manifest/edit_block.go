package manifest

import "strings"

// lineStart is where the line of i starts.
func (e *editor) lineStart(i int) int { return strings.LastIndexByte(e.text[:i], '\n') + 1 }

// lineEnd is where the text of the line of i ends, before its line break.
func (e *editor) lineEnd(i int) int {
	j := strings.IndexByte(e.text[i:], '\n')
	if j < 0 {
		return len(e.text)
	}
	j += i
	if j > i && e.text[j-1] == '\r' {
		j--
	}
	return j
}

// nextLine is where the line after the one of i starts, or -1.
func (e *editor) nextLine(i int) int {
	j := strings.IndexByte(e.text[i:], '\n')
	if j < 0 || i+j+1 >= len(e.text) {
		return -1
	}
	return i + j + 1
}

// comment returns the column of the comment that the line from start consists
// of, or -1.
func (e *editor) comment(start int) int {
	i := start
	for i < len(e.text) && e.text[i] == ' ' {
		i++
	}
	if i < len(e.text) && e.text[i] == '#' {
		return i - start
	}
	return -1
}

// insertionPoint is where lines are inserted after the entry or item ending at end: after
// its line and the comments that are indented deeper than its column.
func (e *editor) insertionPoint(end, col int) int {
	at := e.lineEnd(end)
	for next := e.nextLine(at); next >= 0 && e.comment(next) > col; next = e.nextLine(at) {
		at = e.lineEnd(next)
	}
	return at
}

// firstOnLine reports whether nothing but blanks is before i on its line.
func (e *editor) firstOnLine(i int) bool {
	return strings.Trim(e.text[e.lineStart(i):i], " ") == ""
}

func (e *editor) renderer() *renderer { return &renderer{nl: e.nl, dashes: e.dashes, out: e.out} }

// addEntries appends entries to a mapping.
func (e *editor) addEntries(n *node, entries []entry) {
	if n.style == flowStyle {
		e.addFlowEntries(n, entries)
		return
	}
	r := e.renderer()
	for _, w := range entries {
		r.line(n.col)
		r.entry(w.key, w.value, n.col)
	}
	at := e.insertionPoint(n.end, n.col)
	e.put(at, at, r.out)
}

// insertItems puts items before the item with this index of a sequence.
func (e *editor) insertItems(n *node, index int, items []*node) {
	if n.style == flowStyle {
		e.insertFlowItems(n, index, items)
		return
	}
	r := e.renderer()
	r.sequence(&node{kind: sequenceKind, items: items}, n.col)
	if index > 0 {
		at := e.insertionPoint(n.items[index-1].end, n.col)
		e.put(at, at, r.out)
		return
	}
	dash := n.items[0].lead - 1
	line := e.lineStart(dash)
	if !e.firstOnLine(dash) || line == 0 {
		e.failed = true
		return
	}
	for {
		above := e.lineStart(line - 1)
		if above == 0 || e.comment(above) < 0 {
			break
		}
		line = above
	}
	at := e.lineEnd(e.lineStart(line - 1))
	e.put(at, at, r.out)
}

// deleteEntry removes the entry of a block mapping whose key is items[i].
func (e *editor) deleteEntry(n *node, i int) {
	key, value := n.items[i], n.items[i+1]
	switch {
	case e.firstOnLine(key.start):
		e.deleteLines(key.start, value.end)
	case i+2 < len(n.items) && e.firstOnLine(n.items[i+2].start):
		e.remove(key.start, n.items[i+2].start)
	default:
		e.failed = true
	}
}

// deleteItem removes an item of a block sequence.
func (e *editor) deleteItem(n *node, i int) {
	dash := n.items[i].lead - 1
	switch {
	case e.firstOnLine(dash):
		e.deleteLines(dash, n.items[i].end)
	default:
		e.failed = true
	}
}

// deleteLines removes the lines from the one of start to the one of end, and the
// line break before them.
func (e *editor) deleteLines(start, end int) {
	line := e.lineStart(start)
	if line == 0 {
		next := e.nextLine(end)
		if next < 0 {
			e.failed = true
			return
		}
		e.remove(0, next)
		return
	}
	e.remove(e.lineEnd(e.lineStart(line-1)), e.lineEnd(end))
}

// replace writes want in the place of n.
func (e *editor) replace(n, want *node, s slot) {
	want = want.resolved()
	switch {
	case s.flow:
		e.put(n.start, n.end, appendJSON(e.out, want, e.nl, s.lead, s.unit))
	case n.lead == 0:
		e.failed = true // the document itself
	case want.kind == scalarKind || len(want.items) == 0:
		e.replaceByScalar(n, want, s)
	default:
		r := e.renderer()
		if s.item {
			r.item(want, s.col)
		} else {
			r.child(want, s.col)
		}
		if n.kind != aliasKind && n.style != flowStyle && n.kind != scalarKind || s.item {
			e.put(n.lead, n.end, r.out)
			return
		}
		// The lines go below, so that a comment after the old value stays
		// beside its key.
		at := e.lineEnd(n.end)
		e.remove(n.lead, n.end)
		e.put(at, at, r.out)
	}
}

func (e *editor) replaceByScalar(n, want *node, s slot) {
	r := e.renderer()
	start := n.start
	if n.start == n.end || e.lineStart(n.start) != e.lineStart(n.lead) {
		start = n.lead
		r.out = append(r.out, ' ')
	}
	if want.tag == nullTag && n.kind == mappingKind && start == n.lead {
		// "annotations:" is what people leave where lines are to come; it was
		// like that before lines were injected below it. A comment after the
		// key stays.
		e.remove(e.lineEnd(n.lead), n.end)
		return
	}
	if quote, ok := e.quotes(n, want); ok {
		r.out = append(append(append(r.out, quote), want.text...), quote)
	} else {
		r.scalar(want, s.col)
	}
	e.put(start, n.end, r.out)
}

// quotes returns those of the value that is replaced, if its author chose them: single
// ones, and double ones that it does not need.
func (e *editor) quotes(n, want *node) (quote byte, ok bool) {
	if n.kind != scalarKind || n.style != quotedStyle || n.anchor != "" || want.kind != scalarKind || want.tag != stringTag {
		return 0, false
	}
	for i := 0; i < len(want.text); i++ {
		if c := want.text[i]; c < ' ' || c >= 0x7f || c == '\'' || c == '"' || c == '\\' {
			return 0, false
		}
	}
	quote = e.text[n.start]
	return quote, quote == '\'' || quote == '"' && plainSafe(n.text)
}
