package manifest

import (
	"fmt"
	"strings"
)

// The parser reads the part of YAML that manifests are written in: block
// mappings and sequences, flow collections, plain, quoted and block scalars,
// anchors, aliases, merge keys and comments, and JSON. Every node has where
// its text starts and ends, which is what makes it possible to edit a document
// without touching the rest of it.
//
// Anything outside that part, an error or a doubt ends the parse without a result;
// then the libraries of fallback.go decide. So there are no messages here except for
// certain errors that would take those too long: the rule is never to read a document
// differently from sigs.k8s.io/yaml, and a fuzz target compares the two.
type parser struct {
	s       string
	pos     int
	bol     int // where the line of pos starts
	col     int // column of the token at pos after advance; -1 at the end
	bad     bool
	json    int8 // 0 not determined yet, 1 yes, -1 no
	depth   int
	breaks  int // line breaks beyond ASCII in s
	anchors map[string]*node
	doc     *document
	arena   *arena

	quotedBreaks int // of breaks, those in values in quotes
}

const (
	// maxDepth bounds the parser's steps down. A level of nesting is one or two,
	// so that 400 levels are always read.
	maxDepth     = 800
	maxKeyLength = 1000 // YAML's limit for a simple key is 1,024
	// maxNodes bounds the values of a document. A value uses at most 500 bytes
	// until the document is written, so this is 1 GB; 5,000 whole pods, as
	// kubectl get -o yaml lists them, have 1.5 million.
	maxNodes = 2_000_000
	// maxMerged bounds the entries that merge keys give to one mapping. Merges of
	// merges multiply; no manifest has a mapping that long.
	maxMerged = 4096
)

// parse reads the document in text, whose first from bytes are its directives and
// its "---". It returns nil when the document is not certainly supported.
func (a *arena) parse(text string, from int) *document {
	a.problem = nil
	head, breaks := readable(strings.TrimSuffix(text[:from], string(bom)))
	if !head || breaks > 0 {
		return nil
	}
	ok, breaks := readable(text[from:])
	p := &parser{s: text, pos: from, doc: &document{text: text}, arena: a, breaks: breaks}
	if !ok && (from > 0 || notText(text) != nil || !p.isJSON()) {
		return nil
	}
	if p.bol = strings.LastIndexByte(text[:from], '\n') + 1; text[p.bol:from] == string(bom) {
		p.bol = from
	}
	p.content()
	if p.bad || p.breaks != p.quotedBreaks {
		return nil
	}
	return p.doc
}

// content reads the roots of the document.
func (p *parser) content() {
	start := p.pos
	p.root()
	if (p.bad || p.col >= 0) && start == 0 && p.arena.problem == nil && p.isJSON() {
		p.objects()
		return
	}
	p.bad = p.bad || p.col >= 0
}

// root reads the first root of the document.
func (p *parser) root() {
	if p.marker(p.pos) {
		p.bad = true
		return
	}
	p.spaces()
	if p.atLineEnd() {
		p.rest()
		p.advance()
	} else {
		p.col = p.pos - p.bol
		if c := p.s[p.pos]; p.afterMarker() && c != '{' && c != '[' || c == '\t' {
			p.bad = true
		}
	}
	if p.bad || p.col < 0 {
		p.bad = p.bad || p.pos < len(p.s) // ended with "..." before it began
		return
	}
	p.doc.roots = append(p.doc.roots, p.node(-1, p.col, false))
}

// objects reads JSON objects one after the other, with or without blanks between
// them.
func (p *parser) objects() {
	p.bad, p.pos, p.bol, p.depth, p.doc.size, p.quotedBreaks = false, 0, 0, 0, 0, 0
	p.doc.roots = nil
	for p.flowSpace(); !p.bad && p.pos < len(p.s); p.flowSpace() {
		p.doc.roots = append(p.doc.roots, p.flow())
	}
}

// afterMarker reports whether the token at pos shares its line with "---".
func (p *parser) afterMarker() bool { return strings.HasPrefix(p.s[p.bol:p.pos], "---") }

func (p *parser) fail() *node {
	p.bad = true
	return nil
}

// reject ends the parse with a certain error at an offset.
func (p *parser) reject(offset int, rule, fix string) {
	if !p.bad {
		p.arena.problem = at(p.lineOf(offset), rule, fix)
	}
	p.bad = true
}

// lineOf is the line of an offset, from 1.
func (p *parser) lineOf(offset int) int { return 1 + strings.Count(p.s[:offset], "\n") }

// deeper counts a step down.
func (p *parser) deeper() bool {
	if p.depth++; p.depth > maxDepth {
		p.reject(p.pos, "the document is nested deeper than 400 levels", "")
	}
	return !p.bad
}

func (p *parser) new(k kind, start int) *node {
	n := p.arena.new()
	n.kind, n.start = k, start
	if p.doc.size++; p.doc.size > maxNodes {
		p.reject(start, fmt.Sprintf("the document has more than %d values", maxNodes), "split it into several documents")
	}
	return n
}

func (p *parser) spaces() {
	for p.pos < len(p.s) && p.s[p.pos] == ' ' {
		p.pos++
	}
}

// lineEnd reports whether a line ends at i.
func (p *parser) lineEnd(i int) bool {
	return i >= len(p.s) || p.s[i] == '\n' || p.s[i] == '\r'
}

// blank reports whether a blank or the end of a line is at i.
func (p *parser) blank(i int) bool { return p.lineEnd(i) || p.s[i] == ' ' }

// atLineEnd reports whether nothing but a comment follows on this line.
func (p *parser) atLineEnd() bool {
	return p.lineEnd(p.pos) || p.s[p.pos] == '#' && (p.pos == p.bol || p.s[p.pos-1] == ' ')
}

// rest goes to the end of the line, over blanks and a comment; anything else
// there is a failure.
func (p *parser) rest() {
	p.spaces()
	if !p.atLineEnd() {
		p.bad = true
		return
	}
	if i := strings.IndexByte(p.s[p.pos:], '\n'); i >= 0 {
		p.pos += i
	} else {
		p.pos = len(p.s)
	}
}

// advance goes from the end of a line to the next token, over blank lines and
// comments, and sets col.
func (p *parser) advance() {
	for p.pos < len(p.s) && !p.bad {
		p.pos++
		p.bol = p.pos
		p.spaces()
		if p.pos < len(p.s) && p.s[p.pos] == '\t' {
			p.bad = true
			return
		}
		if p.marker(p.pos) {
			break
		}
		if !p.atLineEnd() {
			p.col = p.pos - p.bol
			return
		}
		p.rest()
	}
	p.col = -1
}

// marker reports whether the document ends at i with "...". A second "---" is a
// failure: the stream should have been split there.
func (p *parser) marker(i int) bool {
	if i != p.bol || i+3 > len(p.s) || p.s[i:i+3] != "..." && p.s[i:i+3] != "---" {
		return false
	}
	if i+3 < len(p.s) && !p.blank(i+3) {
		return false
	}
	p.bad = p.bad || p.s[i] == '-' || strings.Trim(p.s[i+3:], " \r\n") != ""
	return true
}

// done ends a scalar, an alias or a flow collection: nothing may follow on its
// line.
func (p *parser) done(n *node) *node {
	if p.bad {
		return nil
	}
	n.end = p.pos
	p.rest()
	p.advance()
	return n
}

// node reads the value whose first token, in column col, is at pos. parent is
// the column of the collection around it. After "key:" (inline) no block
// collection may start on the same line.
func (p *parser) node(parent, col int, inline bool) *node {
	defer func() { p.depth-- }()
	if !p.deeper() {
		return nil
	}
	switch c := p.s[p.pos]; c {
	case '-':
		if p.blank(p.pos + 1) {
			if inline {
				return p.fail()
			}
			return p.sequence(col)
		}
	case '&':
		return p.anchored(parent)
	case '*':
		return p.done(p.alias(false))
	case '|', '>':
		return p.blockScalar(parent)
	case '[', '{':
		return p.done(p.flow())
	case '"', '\'':
		n := p.quoted(parent)
		if p.bad {
			return nil
		}
		if p.colonFollows() {
			if inline {
				return p.fail()
			}
			return p.mapping(col, n)
		}
		return p.done(n)
	}
	if key := p.plainKey(); key != nil {
		if inline {
			return p.fail()
		}
		return p.mapping(col, key)
	}
	return p.plain(parent)
}

// anchored reads "&name" and the value it names.
func (p *parser) anchored(parent int) *node {
	start := p.pos
	name := p.name()
	p.spaces()
	delete(p.anchors, name) // within its own value an alias means this one, not an earlier
	var n *node
	switch {
	case p.bad:
		return nil
	case p.atLineEnd():
		end := start + 1 + len(name)
		n = p.below(parent, false, end)
		if n != nil && n.kind != scalarKind {
			break
		}
		if n == nil || n.start != end {
			return p.fail() // a scalar on another line than its anchor
		}
	default:
		n = p.node(parent, p.pos-p.bol, true)
	}
	if n == nil || n.anchor != "" || n.kind == aliasKind {
		return p.fail()
	}
	n.anchor, n.start = name, start
	if p.anchors == nil {
		p.anchors = map[string]*node{}
	}
	p.anchors[name] = n
	return n
}

// name reads the name after & or *.
func (p *parser) name() string {
	from := p.pos + 1
	i := from
	for i < len(p.s) && nameByte(p.s[i]) {
		i++
	}
	if i == from || !p.blank(i) && strings.IndexByte(",]}", p.s[i]) < 0 {
		p.bad = true
		return ""
	}
	p.pos = i
	return p.s[from:i]
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// alias reads "*name". The anchor must be complete: an alias within what it
// names has no value.
func (p *parser) alias(inFlow bool) *node {
	n := p.new(aliasKind, p.pos)
	name := p.name()
	if p.bad || !inFlow && !p.blank(p.pos) {
		return p.fail()
	}
	n.target = p.anchors[name]
	if n.target == nil {
		return p.fail()
	}
	n.end = p.pos
	p.doc.aliases = append(p.doc.aliases, n)
	return n
}

// below reads a value that starts on a later line than its key or dash, whose
// text ends at after; a value that is not there is null.
func (p *parser) below(parent int, dashes bool, after int) *node {
	p.rest()
	p.advance()
	switch {
	case p.bad:
		return nil
	case p.col > parent:
		return p.node(parent, p.col, false)
	case dashes && p.col == parent && p.s[p.pos] == '-' && p.blank(p.pos+1):
		return p.sequence(p.col)
	}
	n := p.new(scalarKind, after)
	n.end, n.tag, n.text = after, nullTag, "null"
	return n
}

// sequence reads a block sequence whose dashes are in column col.
func (p *parser) sequence(col int) *node {
	defer func() { p.depth-- }()
	if !p.deeper() {
		return nil
	}
	n := p.new(sequenceKind, p.pos)
	n.col = col
	for {
		p.pos++
		after := p.pos
		p.spaces()
		var item *node
		if p.atLineEnd() {
			item = p.below(col, false, after)
		} else {
			item = p.node(col, p.pos-p.bol, false)
		}
		if item == nil || p.col > col {
			return p.fail()
		}
		item.lead = after
		n.items = append(n.items, item)
		n.end, n.keep = item.end, item.keep
		if p.col < col || p.s[p.pos] != '-' || !p.blank(p.pos+1) {
			return n
		}
	}
}
