package manifest

import (
	"fmt"
	"strings"
)

// mapping reads a block mapping whose keys are in column col; the first key is
// read already and pos is after its colon.
func (p *parser) mapping(col int, key *node) *node {
	n := p.new(mappingKind, key.start)
	n.col = col
	var seen keySet
	for {
		if !p.asKey(key) || !p.newKey(&seen, n, key) {
			return p.fail()
		}
		after := p.pos
		value := p.value(col)
		if value == nil || p.col > col {
			return p.fail()
		}
		if key.merge && !p.merges(n, value) {
			return p.fail()
		}
		value.lead = after
		n.items = append(n.items, key, value)
		n.end, n.keep = value.end, value.keep
		if p.col < col {
			return n
		}
		if key = p.key(); key == nil {
			return p.fail()
		}
	}
}

// value reads what follows a colon in a mapping with keys in column col.
func (p *parser) value(col int) *node {
	after := p.pos
	p.spaces()
	if p.atLineEnd() {
		return p.below(col, true, after)
	}
	return p.node(col, p.pos-p.bol, true)
}

// key reads a key and its colon at the start of a line.
func (p *parser) key() *node {
	switch p.s[p.pos] {
	case '"', '\'':
		n := p.quoted(p.pos - p.bol)
		if p.bad || !p.colonFollows() {
			return nil
		}
		return n
	case '-', '?', ':':
		if p.blank(p.pos + 1) {
			return nil
		}
	}
	return p.plainKey()
}

// colonFollows consumes the colon that makes the quoted scalar before pos a key.
func (p *parser) colonFollows() bool {
	i := p.pos
	for i < len(p.s) && p.s[i] == ' ' {
		i++
	}
	if i >= len(p.s) || p.s[i] != ':' || !p.blank(i+1) {
		return false
	}
	p.pos = i + 1
	return true
}

// plainKey reads a key without quotes and its colon. It returns nil, and stays
// where it is, when there is no key here.
func (p *parser) plainKey() *node {
	if !plainStart(p.s, p.pos, false) {
		return nil
	}
	end, stop := p.plainLine(p.pos)
	if stop != ':' {
		return nil
	}
	n := p.new(scalarKind, p.pos)
	n.end = end
	n.text = p.s[p.pos:end]
	colon := end
	for p.s[colon] == ' ' {
		colon++
	}
	p.pos = colon + 1
	return n
}

// asKey gives a key the text that it has in JSON, where every key is a string.
func (p *parser) asKey(key *node) bool {
	if key.end-key.start > maxKeyLength && !p.isJSON() ||
		strings.IndexByte(p.s[key.start:key.end], '\n') >= 0 || p.breaks > 0 && !p.isJSON() && hasBreak(p.s[key.start:key.end]) {
		return false
	}
	if key.style == quotedStyle {
		return true
	}
	if key.text == "<<" {
		key.merge, p.doc.merges = true, true
		return true
	}
	t, text, ok := resolvePlain(key.text)
	switch {
	case !ok || t == nullTag, t == numberTag && strings.ContainsAny(text, ".eE"):
		return false
	}
	key.text = text
	return true
}

// newKey adds a key to those of the mapping n. One that is there already is an
// error for every reader.
func (p *parser) newKey(seen *keySet, n, key *node) bool {
	if seen.add(n, key) {
		return true
	}
	if key.merge {
		return false
	}
	first := 0
	for i := 0; i < len(n.items); i += 2 {
		if n.items[i].text == key.text {
			first = n.items[i].start
			break
		}
	}
	if !p.bad {
		p.arena.problem = duplicate(p.lineOf(key.start), key.text, p.lineOf(first))
	}
	p.bad = true
	return false
}

// merges reports whether the mapping n may have this value for a merge key, and
// counts the entries that it brings.
func (p *parser) merges(n, value *node) bool {
	if !mergeable(value, true) {
		return false
	}
	sources := []*node{value.resolved()}
	if sources[0].kind == sequenceKind {
		sources = sources[0].items
	}
	for _, source := range sources {
		source = source.resolved()
		if n.merged += len(source.items)/2 + source.merged; n.merged > maxMerged {
			p.reject(value.start, fmt.Sprintf("merge keys add more than %d entries to this mapping", maxMerged), "write the entries directly")
			return false
		}
	}
	return true
}

// mergeable reports whether a merge key may have this value: a mapping, or a list
// of mappings.
func mergeable(value *node, list bool) bool {
	inAlias := value.kind == aliasKind
	value = value.resolved()
	if value.kind != sequenceKind || !list || inAlias {
		return value.kind == mappingKind
	}
	for _, item := range value.items {
		if !mergeable(item, false) {
			return false
		}
	}
	return true
}

// keySet finds keys that occur twice in a mapping; many keys are looked up in a
// map.
type keySet struct{ index map[string]bool }

const linearKeys = 16

func (k *keySet) add(n, key *node) bool {
	if key.merge {
		// Two merge keys are one too many for some readers.
		for i := 0; i < len(n.items); i += 2 {
			if n.items[i].merge {
				return false
			}
		}
		return true
	}
	if len(n.items) < 2*linearKeys {
		for i := 0; i < len(n.items); i += 2 {
			if n.items[i].text == key.text {
				return false
			}
		}
		return true
	}
	if k.index == nil {
		k.index = make(map[string]bool, 4*linearKeys)
		for i := 0; i < len(n.items); i += 2 {
			k.index[n.items[i].text] = true
		}
	}
	if k.index[key.text] {
		return false
	}
	k.index[key.text] = true
	return true
}
