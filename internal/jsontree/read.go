package jsontree

import (
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxRead is the depth of objects and arrays up to which a Reader reads: a pod has 15.
const maxRead = 100

// Reader makes trees with all of their nodes, in memory that it uses again.
type Reader struct {
	text string
	at   int

	nodes    slab[Node]
	children slab[children]
	members  slab[Member]
	items    slab[*Node]

	// The children of the objects and arrays that have not ended, the innermost last.
	openMembers []Member
	openItems   []*Node
}

// Read returns the tree of a JSON text, until Release. It returns false where the text is
// not valid JSON, where strings are not valid UTF-8, and where it is nested deeper than
// maxRead: another decoder finds the words for that.
func (r *Reader) Read(text string) (*Node, bool) {
	r.text, r.at = text, 0
	root := r.nodes.one()
	ok := r.value(root, maxRead) && r.space() == len(text)
	return root, ok
}

// Release ends the use of all that Read has returned.
func (r *Reader) Release() {
	r.text = ""
	r.nodes.release()
	r.children.release()
	r.members.release()
	r.items.release()
	clear(r.openMembers[:cap(r.openMembers)])
	clear(r.openItems[:cap(r.openItems)])
	r.openMembers, r.openItems = kept(r.openMembers), kept(r.openItems)
}

// maxKept is how many values a slab keeps, and the most that it gets at once, unless they
// are the children of one node: a pod of 10 KB has as many.
const maxKept = 1024

func kept[T any](s []T) []T {
	if cap(s) > maxKept {
		return nil
	}
	return s[:0]
}

// slab is memory for many small values that are released together.
type slab[T any] struct {
	values []T
	used   int
}

func (s *slab[T]) one() *T {
	if s.used == len(s.values) {
		s.grow(1)
	}
	s.used++
	return &s.values[s.used-1]
}

func (s *slab[T]) take(n int) []T {
	if len(s.values)-s.used < n {
		s.grow(n)
	}
	s.used += n
	return s.values[s.used-n : s.used : s.used]
}

// grow replaces the memory; what is in use stays where it is.
func (s *slab[T]) grow(n int) {
	s.values, s.used = make([]T, max(n, min(2*len(s.values), maxKept), 64)), 0
}

// release clears the values: they refer to a text, which may be large.
func (s *slab[T]) release() {
	clear(s.values[:s.used])
	s.values, s.used = kept(s.values), 0
	s.values = s.values[:cap(s.values)]
}

// value reads the next value into n.
func (r *Reader) value(n *Node, depth int) (ok bool) {
	from := r.space()
	if from == len(r.text) {
		return false
	}
	switch r.text[from] {
	case '"':
		n.kind = String
		n.plain, ok = r.string()
	case '{':
		n.kind = Object
		ok = depth > 0 && r.object(n, depth-1)
	case '[':
		n.kind = Array
		ok = depth > 0 && r.array(n, depth-1)
	case 'n':
		n.kind = Null
		ok = r.word("null")
	case 't':
		ok = r.word("true")
	case 'f':
		ok = r.word("false")
	default:
		ok = r.number()
	}
	n.raw = r.text[from:r.at]
	return ok
}

func (r *Reader) object(n *Node, depth int) bool {
	n.children = r.children.one()
	r.at++
	if r.next('}') {
		return true
	}
	open := len(r.openMembers)
	for {
		key, ok := r.key()
		if !ok {
			return false
		}
		value := r.nodes.one()
		if !r.value(value, depth) {
			return false
		}
		r.openMembers = append(r.openMembers, Member{key, value})
		if !r.next(',') {
			break
		}
	}
	n.children.members = r.members.take(len(r.openMembers) - open)
	copy(n.children.members, r.openMembers[open:])
	r.openMembers = r.openMembers[:open]
	return r.next('}')
}

func (r *Reader) array(n *Node, depth int) bool {
	n.children = r.children.one()
	r.at++
	if r.next(']') {
		return true
	}
	open := len(r.openItems)
	for {
		item := r.nodes.one()
		if !r.value(item, depth) {
			return false
		}
		r.openItems = append(r.openItems, item)
		if !r.next(',') {
			break
		}
	}
	n.children.items = r.items.take(len(r.openItems) - open)
	copy(n.children.items, r.openItems[open:])
	r.openItems = r.openItems[:open]
	return r.next(']')
}

// key reads a key with its colon.
func (r *Reader) key() (string, bool) {
	from := r.space()
	if from == len(r.text) || r.text[from] != '"' {
		return "", false
	}
	plain, ok := r.string()
	if !ok {
		return "", false
	}
	raw := r.text[from:r.at]
	if !r.next(':') {
		return "", false
	}
	if plain {
		return raw[1 : len(raw)-1], true
	}
	return unquoted(raw), true
}

// space goes to the next byte that is no white space, and returns its index.
func (r *Reader) space() int {
	for r.at < len(r.text) && r.text[r.at] <= ' ' {
		switch r.text[r.at] {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return r.at
		}
	}
	return r.at
}

// next goes behind the next byte if it is c.
func (r *Reader) next(c byte) bool {
	if at := r.space(); at == len(r.text) || r.text[at] != c {
		return false
	}
	r.at++
	return true
}

func (r *Reader) word(w string) bool {
	if !strings.HasPrefix(r.text[r.at:], w) {
		return false
	}
	r.at += len(w)
	return true
}

// string goes behind the string that begins here.
func (r *Reader) string() (plain, ok bool) {
	plain = true
	for i := ordinary(r.text, r.at+1); i < len(r.text); i = ordinary(r.text, i) {
		n := 0
		switch c := r.text[i]; {
		case c == '"':
			r.at = i + 1
			return plain, true
		case c == '\\':
			plain = false
			n = escape(r.text[i:])
		case c >= utf8.RuneSelf:
			n = multibyte(r.text[i:])
		}
		if n == 0 {
			return false, false
		}
		i += n
	}
	return false, false
}

// ordinary is the index of the next byte of a string, from an index, that is its end or
// needs a closer look. It looks at eight bytes at once: most of a text is strings. A byte
// is found as its highest bit, which is set by
//
//	the byte itself                  above ASCII
//	a subtraction of ' '             control characters
//	a subtraction of 1 from an xor   the character itself
//
// Bits above the lowest one that is set may be wrong, as a subtraction borrows from there.
func ordinary(text string, i int) int {
	const ones, highest = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(text); i += 8 {
		t := text[i : i+8]
		x := uint64(t[0]) | uint64(t[1])<<8 | uint64(t[2])<<16 | uint64(t[3])<<24 |
			uint64(t[4])<<32 | uint64(t[5])<<40 | uint64(t[6])<<48 | uint64(t[7])<<56
		found := (x | (x - ones*' ') | ((x ^ ones*'"') - ones) | ((x ^ ones*'\\') - ones)) & highest
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(text) && text[i] >= ' ' && text[i] < utf8.RuneSelf && text[i] != '"' && text[i] != '\\' {
		i++
	}
	return i
}

// multibyte is the length of the character that a text begins with; 0 if it is not valid.
func multibyte(text string) int {
	c, n := utf8.DecodeRuneInString(text)
	if c == utf8.RuneError && n == 1 {
		return 0
	}
	return n
}

// escape is the length of the escape that a text begins with; 0 if it is not valid. Halves
// of a surrogate pair are not.
func escape(text string) int {
	const short, long = 2, 6
	if len(text) < short {
		return 0
	}
	if text[1] != 'u' {
		if strings.IndexByte(`"\/bfnrt`, text[1]) < 0 {
			return 0
		}
		return short
	}
	c, ok := codeUnit(text)
	switch {
	case !ok:
		return 0
	case !utf16.IsSurrogate(c):
		return long
	}
	second, ok := codeUnit(text[long:])
	if !ok || utf16.DecodeRune(c, second) == utf8.RuneError {
		return 0
	}
	return 2 * long
}

// codeUnit is the value of an escape of the form \uXXXX.
func codeUnit(text string) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(text[2:6], 16, 16)
	return rune(n), err == nil
}

// number goes behind the number that begins here.
func (r *Reader) number() bool {
	r.optional("-")
	if !r.optional("0") && !r.digits() {
		return false
	}
	if r.optional(".") && !r.digits() {
		return false
	}
	if r.optional("eE") {
		r.optional("+-")
		return r.digits()
	}
	return true
}

// optional goes behind the byte here if it is one of some.
func (r *Reader) optional(bytes string) bool {
	if r.at == len(r.text) || strings.IndexByte(bytes, r.text[r.at]) < 0 {
		return false
	}
	r.at++
	return true
}

func (r *Reader) digits() bool {
	from := r.at
	for r.at < len(r.text) && isDigit(r.text[r.at]) {
		r.at++
	}
	return r.at > from
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
