package manifest

import "strings"

// renderer writes values as text in the style of the document around them.
type renderer struct {
	nl     string // the document's line break
	dashes int    // how far a sequence is indented below its key: 0 or 2
	out    []byte
}

// child writes what follows "key:" for a key in column indent: a blank and a
// scalar, or lines below. The text ends without a line break.
func (r *renderer) child(v *node, indent int) {
	v = v.resolved()
	switch {
	case v.kind == mappingKind && len(v.items) > 0:
		r.mapping(v, indent+2, false)
	case v.kind == sequenceKind && len(v.items) > 0:
		r.sequence(v, indent+r.dashes)
	default:
		r.out = append(r.out, ' ')
		r.scalar(v, indent)
	}
}

// item writes what follows "-" for a dash in column indent.
func (r *renderer) item(v *node, indent int) {
	v = v.resolved()
	switch {
	case v.kind == mappingKind && len(v.items) > 0:
		r.mapping(v, indent+2, true)
	case v.kind == sequenceKind && len(v.items) > 0:
		r.sequence(v, indent+2)
	default:
		r.out = append(r.out, ' ')
		r.scalar(v, indent)
	}
}

// mapping writes one line for each entry, every one after a line break. After
// a dash the first one follows on its line.
func (r *renderer) mapping(v *node, indent int, behindDash bool) {
	for i, e := range v.entries() {
		if i == 0 && behindDash {
			r.out = append(r.out, ' ')
		} else {
			r.line(indent)
		}
		r.entry(e.key, e.value, indent)
	}
}

// entry writes "key: value" for a key in column indent.
func (r *renderer) entry(key, value *node, indent int) {
	r.out = appendPlainOrQuoted(r.out, key.text)
	r.out = append(r.out, ':')
	r.child(value, indent)
}

func (r *renderer) sequence(v *node, indent int) {
	for _, item := range v.items {
		r.line(indent)
		r.out = append(r.out, '-')
		r.item(item, indent)
	}
}

func (r *renderer) line(indent int) {
	r.out = append(r.out, r.nl...)
	r.out = appendSpaces(r.out, indent)
}

func appendSpaces(out []byte, n int) []byte {
	for ; n > 0; n-- {
		out = append(out, ' ')
	}
	return out
}

// scalar writes a scalar or an empty collection. Text of several lines becomes a
// block scalar where that is exactly equivalent.
func (r *renderer) scalar(v *node, indent int) {
	switch {
	case v.kind == mappingKind:
		r.out = append(r.out, "{}"...)
	case v.kind == sequenceKind:
		r.out = append(r.out, "[]"...)
	case v.tag != stringTag:
		r.out = append(r.out, v.text...)
	case blockText(v.text):
		r.out = append(r.out, '|')
		body, ended := strings.CutSuffix(v.text, "\n")
		if !ended {
			r.out = append(r.out, '-')
		}
		for line := range strings.SplitSeq(body, "\n") {
			if line == "" {
				r.out = append(r.out, r.nl...)
				continue
			}
			r.line(indent + 2)
			r.out = append(r.out, line...)
		}
	default:
		r.out = appendPlainOrQuoted(r.out, v.text)
	}
}

// singleQuotable reports whether single quotes make s, typically JSON, easier to
// read than escapes.
func singleQuotable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] >= 0x7f || s[i] == '\'' {
			return false
		}
	}
	return strings.ContainsAny(s, "\"\\")
}

// blockText reports whether s is several lines that a block scalar can hold
// without an indentation indicator.
func blockText(s string) bool {
	body := strings.TrimSuffix(s, "\n")
	if !strings.Contains(body, "\n") || body[0] == ' ' || body[0] == '\n' || strings.HasSuffix(body, "\n") ||
		strings.ContainsAny(s, "\t\r") {
		return false
	}
	return cleanText(s)
}

func appendPlainOrQuoted(out []byte, s string) []byte {
	if plainSafe(s) {
		return append(out, s...)
	}
	if singleQuotable(s) {
		return append(append(append(out, '\''), s...), '\'')
	}
	return appendString(out, s)
}

// plainSafe reports whether every YAML reader takes s without quotes for this very
// string.
func plainSafe(s string) bool {
	if s == "" || len(s) > 200 {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case nameByte(c), c == '.', c == '/', c == ':' && i > 0 && i+1 < len(s) && s[i+1] != ' ':
		case i > 0 && (c == '+' || c == '@' || c == '=' || c == ',' || c == '(' || c == ')'):
		case c == ' ' && i > 0 && i+1 < len(s):
		case c == '*' && i > 0:
		default:
			return false
		}
	}
	if s[0] == '-' || numberLike(s) {
		return s[0] == '-' && len(s) > 2 && (s[1] == '-' && s[2] != '-' || s[1] >= 'a' && s[1] <= 'z')
	}
	t, _, ok := resolvePlain(s)
	return ok && t == stringTag
}

// numberLike reports whether some YAML reader may take s for a number or a date.
func numberLike(s string) bool {
	if c := s[0]; c != '.' && (c < '0' || c > '9') {
		return false
	}
	for i := 0; i < len(s); i++ {
		if strings.IndexByte("0123456789abcdefABCDEFxXoO_.:+-TZ ", s[i]) < 0 {
			return false
		}
	}
	return true
}

// appendJSON writes a value as JSON: on one line when unit is empty, else one
// line for each entry, indented by unit more than prefix.
func appendJSON(out []byte, v *node, nl, prefix, unit string) []byte {
	v = v.resolved()
	if v.kind == scalarKind {
		if v.tag == stringTag {
			return appendString(out, v.text)
		}
		return append(out, v.text...)
	}
	brackets := "[]"
	if v.kind == mappingKind {
		brackets = "{}"
	}
	if len(v.items) == 0 {
		return append(out, brackets...)
	}
	inner := prefix + unit
	separator := func(i int) {
		if i > 0 {
			out = append(out, ',')
		}
		switch {
		case unit != "":
			out = append(append(out, nl...), inner...)
		case i > 0:
			out = append(out, ' ')
		}
	}
	out = append(out, brackets[0])
	if v.kind == mappingKind {
		for i, e := range v.entries() {
			separator(i)
			out = append(appendString(out, e.key.text), ": "...)
			out = appendJSON(out, e.value, nl, inner, unit)
		}
	} else {
		for i, item := range v.items {
			separator(i)
			out = appendJSON(out, item, nl, inner, unit)
		}
	}
	if unit != "" {
		out = append(append(out, nl...), prefix...)
	}
	return append(out, brackets[1])
}
