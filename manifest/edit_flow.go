package manifest

import (
	"slices"
	"strings"
)

// flowLayout is how a flow collection is laid out: with each entry on a line
// of its own (lead is what is before it there, unit one level of indentation),
// or in one line (unit is empty).
func (e *editor) flowLayout(n *node) (separator, lead, unit string) {
	first := n.items[0].start
	lead = e.text[e.lineStart(first):first]
	if strings.Trim(lead, " \t") != "" || e.lineStart(first) <= n.start {
		return ", ", "", ""
	}
	closing := e.text[e.lineStart(n.end-1) : n.end-1]
	unit = "  "
	if rest, ok := strings.CutPrefix(lead, closing); ok && rest != "" && strings.Trim(closing, " \t") == "" {
		unit = rest
	}
	return "," + e.nl + lead, lead, unit
}

func (e *editor) addFlowEntries(n *node, entries []entry) {
	separator, lead, unit := e.flowLayout(n)
	out := e.out
	for _, w := range entries {
		out = append(out, separator...)
		out = append(appendString(out, w.key.text), ": "...)
		out = appendJSON(out, w.value, e.nl, lead, unit)
	}
	at := n.items[len(n.items)-1].end
	e.put(at, at, out)
}

func (e *editor) insertFlowItems(n *node, index int, items []*node) {
	separator, lead, unit := e.flowLayout(n)
	out := e.out
	for _, w := range items {
		if index > 0 {
			out = append(out, separator...)
		}
		out = appendJSON(out, w, e.nl, lead, unit)
		if index == 0 {
			out = append(out, separator...)
		}
	}
	at := n.items[0].start
	if index > 0 {
		at = n.items[index-1].end
	}
	e.put(at, at, out)
}

// deleteFlowKeys removes the entries with these keys, neighbours together: each
// would take the comma between them away.
func (e *editor) deleteFlowKeys(n *node, keys []*node) {
	for len(keys) > 0 {
		from := slices.Index(n.items, keys[0])
		to := from + 2
		for keys = keys[1:]; len(keys) > 0 && to < len(n.items) && n.items[to] == keys[0]; keys = keys[1:] {
			to += 2
		}
		e.deleteFlow(n, from, to)
	}
}

// deleteFlow removes the nodes items[from:to], not all there are, with one comma.
func (e *editor) deleteFlow(n *node, from, to int) {
	switch {
	case to < len(n.items):
		e.remove(n.items[from].start, n.items[to].start)
	case from > 0:
		e.remove(n.items[from-1].end, n.items[to-1].end)
	default:
		e.failed = true
	}
}
