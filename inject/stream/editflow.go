package stream

import "strings"

// flowLayout says how a flow collection is laid out: with each entry on a line
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

// deleteFlow removes the entry of width nodes from items[i] on, with one comma.
func (e *editor) deleteFlow(n *node, i, width int) {
	if i+width < len(n.items) {
		e.remove(n.items[i].start, n.items[i+width].start)
		return
	}
	e.remove(n.items[i-1].end, n.items[i+width-1].end)
}
