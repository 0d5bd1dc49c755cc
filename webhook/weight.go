package webhook

import (
	"bytes"
	"slices"
)

// weight is what a review contains, as one pass over its bytes counts it.
type weight struct {
	bytes      int
	values     int // strings, numbers, objects, arrays and the like; keys are not counted
	containers int // items of containerLists
	keys       int // bytes of keys longer than longKey
	large      int // items of containerLists and largeLists
	depth      int // of objects and arrays
}

// What a review takes in memory, at most, measured as the bytes that are allocated for
// it (TestCost compares them for the worst contents of each kind):
//
//	bytesCost  for a byte: the body, the object, its tree and the strings decoded take 6.3
//	keyCost    for a byte of a long key, which is repeated in messages
//	valueCost  for a value: the most is an entry of the annotations with 632
//	largeCost  for "{}" in a list of containers 2,590, of volumes 1,780: the type has
//	           900 bytes, and a slice that grows is copied
const (
	bytesCost = 8
	keyCost   = 16
	valueCost = 640
	largeCost = 2700
)

// longKey is longer than any valid name: an error quotes it.
const longKey = 1 << 10

func (w weight) cost() int64 {
	return int64(w.bytes)*bytesCost + int64(w.keys)*keyCost + int64(w.values)*valueCost + int64(w.large)*largeCost
}

// maxDepth is the maximum depth of objects and arrays, as in the API server's decoder.
const maxDepth = 10_000

// containerLists are the arrays whose items are containers, and largeLists the others
// whose items have large types.
var (
	containerLists = []string{"containers", "initContainers", "ephemeralContainers"}
	largeLists     = []string{"volumes", "containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"}
)

// list is the kind of an array, by the size of its items' type.
type list uint8

const (
	ordinary list = iota
	large
	containers
)

// weigh counts what is in a review without decoding it, and without allocations. It
// is right for JSON, and harmless for other bytes. It ends at maxDepth.
func weigh(body []byte) weight {
	w := weight{bytes: len(body)}
	var lists [maxDepth + 1]list // by depth
	var key []byte               // the last string
	depth, item, name := 0, false, false
	for i := 0; i < len(body); i++ {
		c := body[i]
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case ':': // the string before it is no value
			if name {
				w.values--
				if len(key) > longKey {
					w.keys += len(key)
				}
			}
			name, item = false, false
			continue
		case ',', '}', ']':
			w.endItem(lists[depth], item)
			if item = c != ','; item && depth > 0 {
				depth--
			}
		case '{', '[':
			if depth++; depth > maxDepth {
				w.depth = depth
				return w
			}
			w.values++
			w.depth = max(w.depth, depth)
			if lists[depth] = ordinary; c == '[' {
				lists[depth] = listOf(key)
			}
			key, item = nil, false
		case '"':
			w.values++
			end := stringEnd(body, i+1)
			key, i = body[min(i+1, end):end], end
			item = true
		default: // a byte of a number, true, false or null
			if !item {
				w.values++
			}
			item = true
		}
		name = c == '"'
	}
	return w
}

// endItem counts an item of an array.
func (w *weight) endItem(of list, item bool) {
	if !item || of == ordinary {
		return
	}
	w.large++
	if of == containers {
		w.containers++
	}
}

// listOf is the kind of the array with a key. One with an escape may be any.
func listOf(key []byte) list {
	switch {
	case slices.Contains(containerLists, string(key)), bytes.IndexByte(key, '\\') >= 0:
		return containers
	case slices.Contains(largeLists, string(key)):
		return large
	}
	return ordinary
}

// stringEnd is the index of the quote that ends a string, or that of the last byte.
func stringEnd(body []byte, from int) int {
	for i := from; ; i++ {
		n := bytes.IndexByte(body[i:], '"')
		if n < 0 {
			return len(body) - 1
		}
		i += n
		escapes := 0
		for j := i - 1; j >= from && body[j] == '\\'; j-- {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
}
