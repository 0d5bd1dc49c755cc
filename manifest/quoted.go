package manifest

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// quoted reads a scalar in quotes. Its further lines must be indented deeper
// than parent.
func (p *parser) quoted(parent int) *node {
	n := p.quotedScalar(parent)
	if n != nil && p.breaks > 0 {
		for i := n.start; i < n.end; i++ {
			if lineBreak(p.s[i:]) > 0 {
				p.quotedBreaks++
			}
		}
	}
	return n
}

func (p *parser) quotedScalar(parent int) *node {
	n := p.new(scalarKind, p.pos)
	n.style = quotedStyle
	quote := p.s[p.pos]
	from := p.pos + 1
	for i := from; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == quote && (quote == '"' || i+1 >= len(p.s) || p.s[i+1] != quote):
			n.text = p.s[from:i]
			p.pos = i + 1
			n.end = p.pos
			return n
		case c == quote, c == '\\' && quote == '"', c == '\n', c == '\r', p.breakAt(i):
			if p.quotedEscaped(n, from, i, parent); p.bad {
				return nil
			}
			return n
		}
	}
	return p.fail()
}

// quotedEscaped reads a quoted scalar with escapes or line breaks; text up to i has
// neither.
func (p *parser) quotedEscaped(n *node, from, i, parent int) {
	quote := p.s[from-1]
	buf := p.arena.scratch[:0]
	buf = append(buf, p.s[from:i]...)
	solid := 0 // blanks after this length may be trimmed by a line break
	for i < len(p.s) {
		switch c := p.s[i]; {
		case c == quote && quote == '\'' && i+1 < len(p.s) && p.s[i+1] == quote:
			buf = append(buf, quote)
			i += 2
		case c == quote:
			p.arena.scratch = buf
			n.text = string(buf)
			p.pos = i + 1
			n.end = p.pos
			return
		case c == '\\' && quote == '"':
			if buf, i = p.escape(buf, i+1); p.bad {
				return
			}
			solid = len(buf)
		case p.breakAt(i) || p.breaks > 0 && !p.isJSON() && (c == '\n' || c == '\r'):
			for len(buf) > solid && (buf[len(buf)-1] == ' ' || buf[len(buf)-1] == '\t') {
				buf = buf[:len(buf)-1]
			}
			next, folded := p.foldBreaks(i, parent)
			if next < 0 {
				p.bad = true
				return
			}
			buf = append(buf, folded...)
			solid = len(buf)
			i = next
		case c == '\n' || c == '\r':
			for len(buf) > solid && (buf[len(buf)-1] == ' ' || buf[len(buf)-1] == '\t') {
				buf = buf[:len(buf)-1]
			}
			p.pos = i
			next, breaks := p.quotedContinuation(parent)
			if next < 0 || p.bad {
				p.bad = true
				return
			}
			p.bol = strings.LastIndexByte(p.s[:next], '\n') + 1
			buf = append(buf, fold(breaks)...)
			solid = len(buf)
			i = next
		default:
			buf = append(buf, c)
			i++
		}
	}
	p.bad = true
}

// breakAt reports whether a line break beyond ASCII is at i, for YAML.
func (p *parser) breakAt(i int) bool {
	return p.breaks > 0 && p.s[i] >= 0xc2 && lineBreak(p.s[i:]) > 0 && !p.isJSON()
}

// foldBreaks goes over the line breaks from i, of any kind. It returns where the scalar
// goes on, and what they become: U+2028 and U+2029 stay. next is -1 where the scalar does
// not go on.
func (p *parser) foldBreaks(i, parent int) (next int, folded string) {
	var first, more string
	least := -1 // column of the text below
	for i < len(p.s) {
		n, text := 1, "\n"
		switch c := p.s[i]; {
		case c == ' ' || c == '\r':
			i++
			continue
		case c == '\n':
			least = parent
			p.bol = i + 1
		case lineBreak(p.s[i:]) > 0:
			n = lineBreak(p.s[i:])
			least = -1
			if n > len("\u0085") {
				text = p.s[i : i+n]
			}
		case c == '\t' || i-p.bol <= least || strings.HasPrefix(p.s[i:], "---") || strings.HasPrefix(p.s[i:], "..."):
			return -1, ""
		case first != "\n":
			return i, first + more
		case more == "":
			return i, " "
		default:
			return i, more
		}
		if i += n; first == "" {
			first = text
		} else {
			more += text
		}
	}
	return -1, ""
}

// quotedContinuation is continuation, for text in which # starts no comment.
func (p *parser) quotedContinuation(parent int) (next, breaks int) {
	next = p.pos
	for next < len(p.s) {
		switch p.s[next] {
		case '\n':
			breaks++
			p.bol = next + 1
		case ' ', '\r':
		case '\t':
			return -1, 0
		default:
			if next-p.bol <= parent || p.marker(next) {
				return -1, 0
			}
			return next, breaks
		}
		next++
	}
	return -1, 0
}

// The escapes of one letter, and their characters in the same order.
const (
	escapeLetters = `"\ bfnrt0ave`
	escapeValues  = "\"\\ \b\f\n\r\t\x00\a\v\x1b"
)

// escape reads the escape whose letter is at i.
func (p *parser) escape(buf []byte, i int) ([]byte, int) {
	if i >= len(p.s) {
		p.bad = true
		return buf, i
	}
	c := p.s[i]
	if n := strings.IndexByte(escapeLetters, c); n >= 0 {
		return append(buf, escapeValues[n]), i + 1
	}
	switch c {
	case '/':
		p.bad = p.bad || !p.isJSON()
		return append(buf, c), i + 1
	case 'x':
		return p.codePoint(buf, i+1, 2)
	case 'u':
		return p.codePoint(buf, i+1, 4)
	case 'U':
		return p.codePoint(buf, i+1, 8)
	}
	p.bad = true
	return buf, i
}

// codePoint reads a character's number of so many hexadecimal digits. A pair of
// surrogates is JSON's way only.
func (p *parser) codePoint(buf []byte, i, digits int) ([]byte, int) {
	r, ok := p.hex(i, digits)
	i += digits
	if ok && utf16.IsSurrogate(r) {
		ok = p.isJSON()
		second, paired := rune(0), false
		if ok && strings.HasPrefix(p.s[i:], `\u`) {
			second, paired = p.hex(i+2, 4)
		}
		if r = utf16.DecodeRune(r, second); paired && r != utf8.RuneError {
			i += 6
		}
	}
	if !ok || r > utf8.MaxRune {
		p.bad = true
		return buf, i
	}
	return utf8.AppendRune(buf, r), i
}

func (p *parser) hex(i, digits int) (rune, bool) {
	if i+digits > len(p.s) {
		return 0, false
	}
	v, err := strconv.ParseUint(p.s[i:i+digits], 16, 32)
	return rune(v), err == nil && v <= utf8.MaxRune
}

// isJSON reports whether the document is JSON objects, one after the other, which have
// rules of their own where they are no part of YAML 1.1.
func (p *parser) isJSON() bool {
	if p.json == 0 {
		p.json = -1
		if isObjects(p.s) {
			p.json = 1
		}
	}
	return p.json == 1
}
