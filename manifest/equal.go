package manifest

import (
	"strconv"
	"strings"
)

// equal reports whether two nodes mean the same: the order of keys, aliases, merge
// keys and the way of writing a number make no difference.
func equal(a, b *node) bool {
	a, b = a.resolved(), b.resolved()
	if a == b {
		return true
	}
	if a.kind != b.kind {
		return false
	}
	switch a.kind {
	case sequenceKind:
		if len(a.items) != len(b.items) {
			return false
		}
		for i := range a.items {
			if !equal(a.items[i], b.items[i]) {
				return false
			}
		}
		return true
	case mappingKind:
		return equalMappings(a, b)
	default:
		return a.tag == b.tag && (a.text == b.text || a.tag == numberTag && sameNumber(a.text, b.text))
	}
}

func equalMappings(a, b *node) bool {
	if same, sure := equalInOrder(a, b); sure {
		return same
	}
	ea, eb := a.entries(), b.entries()
	if len(ea) != len(eb) {
		return false
	}
	find := finder(eb)
	for i, e := range ea {
		j := find(i, e.key.text)
		if j < 0 || !equal(e.value, eb[j].value) {
			return false
		}
	}
	return true
}

// equalInOrder compares mappings that have the same keys in the same order, as
// most pairs do; sure is false where that does not settle it.
func equalInOrder(a, b *node) (same, sure bool) {
	if len(a.items) != len(b.items) || hasMerge(a) || hasMerge(b) {
		return false, false
	}
	for i := 0; i < len(a.items); i += 2 {
		if a.items[i].text != b.items[i].text {
			return false, false
		}
	}
	for i := 1; i < len(a.items); i += 2 {
		if !equal(a.items[i], b.items[i]) {
			return false, true
		}
	}
	return true, true
}

// finder looks entries up by key. It tries the place asked for first, as two
// versions of a mapping mostly keep their order, and uses an index where a
// mapping is large.
func finder(entries []entry) func(hint int, key string) int {
	var index map[string]int
	return func(hint int, key string) int {
		if hint < len(entries) && entries[hint].key.text == key {
			return hint
		}
		if len(entries) <= linearKeys {
			for i := range entries {
				if entries[i].key.text == key {
					return i
				}
			}
			return -1
		}
		if index == nil {
			index = make(map[string]int, len(entries))
			for i := range entries {
				index[entries[i].key.text] = i
			}
		}
		if i, ok := index[key]; ok {
			return i
		}
		return -1
	}
}

func sameNumber(a, b string) bool {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	if errX != nil || errY != nil || x != y {
		return false
	}
	// Integers beyond a float's precision differ by their digits.
	return !allDigits(strings.TrimPrefix(a, "-")) || !allDigits(strings.TrimPrefix(b, "-"))
}
