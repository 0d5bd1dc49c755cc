package manifest

import "strings"

// blockReader collects the lines of a block scalar.
type blockReader struct {
	p              *parser
	indent, parent int // indent is 0 until the first line with text fixes it
	folded         bool

	out        []byte
	pending    string // the line break after the last line with text
	blanks     int    // blank lines after it
	wasBlank   bool   // the last line with text started with a blank
	contentEnd int    // end of the last line with text, without its break
	blanksEnd  int    // end of the last line that belongs to the scalar
	last       int    // where the line ends that the parser goes on from
}

// read goes over the lines from the end of the header's line, where the
// parser's pos is.
func (b *blockReader) read(headerEnd int) {
	p := b.p
	b.contentEnd, b.blanksEnd, b.last = headerEnd, headerEnd, p.pos
	widest := 0
	for b.last < len(p.s) {
		line := b.last + 1
		if line >= len(p.s) {
			break
		}
		end := line
		if i := strings.IndexByte(p.s[line:], '\n'); i >= 0 {
			end += i
		} else {
			end = len(p.s)
		}
		textEnd := end
		if textEnd > line && p.s[textEnd-1] == '\r' {
			textEnd--
		}
		spaces := 0
		for line+spaces < textEnd && p.s[line+spaces] == ' ' {
			spaces++
		}
		empty := line+spaces == textEnd
		if empty && (b.indent == 0 || spaces <= b.indent) {
			widest = max(widest, spaces)
			if end < len(p.s) {
				b.blanks++
			}
			b.last, b.blanksEnd = end, textEnd
			continue
		}
		if !empty && p.s[line+spaces] == '\t' && (b.indent == 0 || spaces < b.indent) {
			p.bad = true
			return
		}
		if b.indent == 0 {
			if spaces <= b.parent || spaces == 0 && b.parent < 0 {
				break
			}
			if b.indent = spaces; widest > spaces {
				p.bad = true
				return
			}
		}
		if spaces < b.indent {
			break
		}
		b.add(p.s[line+b.indent:textEnd], end < len(p.s))
		b.last, b.contentEnd, b.blanksEnd = end, textEnd, textEnd
	}
}

// add appends one line with text.
func (b *blockReader) add(line string, broken bool) {
	blank := line[0] == ' ' || line[0] == '\t'
	switch {
	case b.folded && b.pending != "" && !b.wasBlank && !blank:
		if b.blanks == 0 {
			b.out = append(b.out, ' ')
		}
	default:
		b.out = append(b.out, b.pending...)
	}
	for ; b.blanks > 0; b.blanks-- {
		b.out = append(b.out, '\n')
	}
	b.out = append(b.out, line...)
	b.wasBlank = blank
	b.pending = ""
	if broken {
		b.pending = "\n"
	}
}

// text ends the scalar: chomp is '-' to strip its last line breaks, '+' to keep
// them all, 0 to keep one.
func (b *blockReader) text(chomp byte) string {
	if chomp != '-' {
		b.out = append(b.out, b.pending...)
	}
	if chomp == '+' {
		b.out = append(b.out, strings.Repeat("\n", b.blanks)...)
	}
	b.p.arena.scratch = b.out
	return string(b.out)
}
