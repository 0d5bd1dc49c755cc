package manifest

import "strconv"

// kind is what a node is.
type kind uint8

const (
	scalarKind kind = iota
	mappingKind
	sequenceKind
	aliasKind
)

// style is how a node is written.
type style uint8

const (
	plainStyle  style = iota // scalars without quotes; block collections
	quotedStyle              // single or double quotes
	blockStyle               // | and >
	flowStyle                // [ ] and { }
)

// tag is the JSON type of a scalar.
type tag uint8

const (
	stringTag tag = iota
	numberTag
	boolTag
	nullTag
)

// node is a value of a document with its place in the text. Offsets count
// bytes from the start of the document's chunk.
type node struct {
	kind  kind
	style style
	tag   tag
	// merged is how many entries merge keys give to a mapping, those that others
	// replace counted too.
	merged int
	// merge is set on the key << of a mapping.
	merge bool
	// keep is set on a block scalar that owns its trailing blank lines.
	keep bool
	// col is the column of a block mapping's keys or a block sequence's dashes.
	col int
	// text is a scalar's value: the string itself, or the JSON text of a
	// number, a boolean or null.
	text   string
	anchor string
	target *node // of an alias
	// items are a sequence's items, or a mapping's keys and values in turn.
	items []*node
	// lead is where the text before the value ends: after its colon or dash.
	lead int
	// start and end delimit the value including its anchor; comments and the
	// line break after it are outside.
	start, end int
}

// document is one parsed chunk. More than one root means JSON objects one after
// the other, as kubectl reads them.
type document struct {
	text    string
	roots   []*node
	aliases []*node
	merges  bool
	size    int // nodes
}

// resolved follows an alias to its target.
func (n *node) resolved() *node {
	if n.kind == aliasKind {
		return n.target
	}
	return n
}

// entry is one effective entry of a mapping: its own, or one that a merge key
// brings in.
type entry struct {
	key, value *node
	own        bool
}

// entries lists what a mapping holds once merge keys are applied. As kubectl's
// YAML reader applies them in order of appearance, the later one wins.
func (n *node) entries() []entry {
	out := make([]entry, 0, len(n.items)/2)
	merged := false
	for i := 0; i < len(n.items); i += 2 {
		if n.items[i].merge {
			merged = true
			out = mergeEntries(out, n.items[i+1])
			continue
		}
		e := entry{n.items[i], n.items[i+1], true}
		if merged {
			out = setEntry(out, e)
			continue
		}
		out = append(out, e)
	}
	return out
}

// mergeEntries adds the entries of a merge key's value: a mapping, or a list of
// mappings of which the earlier win.
func mergeEntries(out []entry, value *node) []entry {
	value = value.resolved()
	if value.kind == sequenceKind {
		for i := len(value.items) - 1; i >= 0; i-- {
			out = mergeEntries(out, value.items[i])
		}
		return out
	}
	for _, e := range value.entries() {
		e.own = false
		out = setEntry(out, e)
	}
	return out
}

func setEntry(out []entry, e entry) []entry {
	for i := range out {
		if out[i].key.text == e.key.text {
			out[i] = e
			return out
		}
	}
	return append(out, e)
}

// get returns the value of a mapping's key, following aliases; nil when absent.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	n = n.resolved()
	if n.kind != mappingKind {
		return nil
	}
	var found *node
	for i := 0; i < len(n.items); i += 2 {
		switch {
		case n.items[i].merge:
			return n.getMerged(key)
		case n.items[i].text == key:
			found = n.items[i+1].resolved()
		}
	}
	return found
}

// getMerged is get for a mapping with a merge key.
func (n *node) getMerged(key string) *node {
	for _, e := range n.entries() {
		if e.key.text == key {
			return e.value.resolved()
		}
	}
	return nil
}

// str is the text of a string value below key, or "".
func (n *node) str(key string) string {
	if v := n.get(key); v != nil && v.kind == scalarKind && v.tag == stringTag {
		return v.text
	}
	return ""
}

// at follows keys of mappings.
func (n *node) at(path []string) *node {
	for _, key := range path {
		n = n.get(key)
	}
	return n
}

// value follows keys of mappings and indexes of sequences; nil where there is nothing.
func (n *node) value(path []string) *node {
	for _, step := range path {
		if n = n.resolved(); n.kind == sequenceKind {
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(n.items) {
				return nil
			}
			n = n.items[i].resolved()
			continue
		}
		if n = n.get(step); n == nil {
			return nil
		}
	}
	return n
}
