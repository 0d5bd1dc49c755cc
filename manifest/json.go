package manifest

import (
	"errors"
	"unicode/utf8"
)

// maxExpanded bounds how many nodes aliases may add to a document. No object that an
// API server accepts comes near.
const maxExpanded = 100_000

var errAliases = errors.New("aliases expand to more than 100000 values; write the repeated parts without aliases, or split the document")

// jsonWriter writes nodes as JSON, in the order of the document, with aliases
// and merge keys resolved.
type jsonWriter struct {
	out      []byte
	alias    int  // depth within aliases
	expanded *int // values that aliases have added so far
}

// toJSON renders a node as JSON. It adds to expanded the values that aliases
// bring, of which a document may have maxExpanded.
func toJSON(n *node, expanded *int) ([]byte, error) {
	w := jsonWriter{out: make([]byte, 0, 2*(n.end-n.start)+64), expanded: expanded}
	w.node(n)
	if *expanded > maxExpanded {
		return nil, errAliases
	}
	return w.out, nil
}

func (w *jsonWriter) node(n *node) {
	if w.alias > 0 {
		if *w.expanded++; *w.expanded > maxExpanded {
			return
		}
	}
	switch n.kind {
	case aliasKind:
		w.alias++
		w.node(n.target)
		w.alias--
	case mappingKind:
		w.mapping(n)
	case sequenceKind:
		w.out = append(w.out, '[')
		for i, item := range n.items {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			w.node(item)
		}
		w.out = append(w.out, ']')
	default:
		if n.tag == stringTag {
			w.out = appendString(w.out, n.text)
		} else {
			w.out = append(w.out, n.text...)
		}
	}
}

func (w *jsonWriter) mapping(n *node) {
	w.out = append(w.out, '{')
	first := true
	write := func(key, value *node) {
		if !first {
			w.out = append(w.out, ',')
		}
		first = false
		w.out = appendString(w.out, key.text)
		w.out = append(w.out, ':')
		w.node(value)
	}
	if hasMerge(n) {
		w.alias++
		for _, e := range n.entries() {
			write(e.key, e.value)
		}
		w.alias--
	} else {
		for i := 0; i < len(n.items); i += 2 {
			write(n.items[i], n.items[i+1])
		}
	}
	w.out = append(w.out, '}')
}

func hasMerge(n *node) bool {
	for i := 0; i < len(n.items); i += 2 {
		if n.items[i].merge {
			return true
		}
	}
	return false
}

const hexDigits = "0123456789abcdef"

// appendString writes s as a JSON string that is a YAML double-quoted scalar as
// well: characters beyond ASCII stay as they are, other than those that YAML
// has no place for.
func appendString(out []byte, s string) []byte {
	out = append(out, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
			if cleanRune(r) && (r != utf8.RuneError || size > 1) {
				i += size
				continue
			}
		}
		out = append(out, s[from:i]...)
		switch r {
		case '"', '\\':
			out = append(out, '\\', byte(r))
		case '\n':
			out = append(out, `\n`...)
		case '\t':
			out = append(out, `\t`...)
		case '\r':
			out = append(out, `\r`...)
		default:
			out = append(out, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
		}
		i += size
		from = i
	}
	out = append(out, s[from:]...)
	return append(out, '"')
}
