package manifest

import (
	"strings"
	"unicode/utf8"
)

// cleanText reports whether text holds only characters that every YAML reader
// takes for what they are: no control characters, no byte order mark, none of
// YAML 1.1's exotic line breaks, valid UTF-8.
func cleanText(text string) bool {
	for i := 0; i < len(text); i++ {
		if cleanByte[text[i]] {
			continue
		}
		switch c := text[i]; {
		case c == '\r':
			if i+1 == len(text) || text[i+1] != '\n' {
				return false
			}
		case c < utf8.RuneSelf:
			return false
		default:
			r, n := utf8.DecodeRuneInString(text[i:])
			if r == utf8.RuneError && n < 2 || !cleanRune(r) {
				return false
			}
			i += n - 1
		}
	}
	return true
}

// readable reports whether text holds only characters that YAML 1.1 allows, and no
// byte order mark at the start of a line. breaks is how many of its line breaks beyond
// ASCII the text has: the parser reads them within quotes only.
func readable(text string) (ok bool, breaks int) {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if cleanByte[c] || c == '\r' && i+1 < len(text) && text[i+1] == '\n' {
			continue
		}
		if c < utf8.RuneSelf {
			return false, 0
		}
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == '\u0085', r == '\u2028', r == '\u2029':
			breaks++
		case r == utf8.RuneError && n < 2, r < 0xa0, r == 0xfffe, r == 0xffff,
			r == 0xfeff && (i == 0 || text[i-1] == '\n'):
			return false, 0
		}
		i += n - 1
	}
	return true, breaks
}

// lineBreak is the length of the line break beyond ASCII at the start of s, or 0.
func lineBreak(s string) int {
	for _, b := range []string{"\u0085", "\u2028", "\u2029"} {
		if strings.HasPrefix(s, b) {
			return len(b)
		}
	}
	return 0
}

// hasBreak reports a line break beyond ASCII.
func hasBreak(s string) bool { return strings.ContainsAny(s, "\u0085\u2028\u2029") }

// cleanByte is true for the characters of one byte that are clean anywhere.
var cleanByte = func() (table [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		table[c] = true
	}
	table['\n'], table['\t'] = true, true
	return table
}()

// cleanRune reports whether a character beyond ASCII is clean.
func cleanRune(r rune) bool {
	return r >= 0xa0 && r != 0x2028 && r != 0x2029 && r != 0xfeff && r != 0xfffe && r != 0xffff
}

// plainStart reports whether a plain scalar may start at i.
func plainStart(s string, i int, inFlow bool) bool {
	switch c := s[i]; c {
	case ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`', '\t', ' ', '\n', '\r', '=':
		return false
	case '-', '?', ':':
		return !inFlow && i+1 < len(s) && s[i+1] > ' ' || inFlow && c == '-' && i+1 < len(s) && (nameByte(s[i+1]) || s[i+1] == '.')
	}
	return true
}

// plainLine scans a plain scalar from i on this line. It returns where the text
// ends, without trailing blanks, and what stopped it: ':' before a blank, '#'
// after one, or '\n'. A tab is a failure.
func (p *parser) plainLine(i int) (end int, stop byte) {
	end = i
	for ; !p.lineEnd(i); i++ {
		switch p.s[i] {
		case ' ':
			continue
		case '\t':
			p.bad = true
			return end, '\n'
		case ':':
			if i+1 < len(p.s) && p.s[i+1] == '\t' {
				p.bad = true
				return end, '\n'
			}
			if p.blank(i + 1) {
				return end, ':'
			}
		case '#':
			if p.s[i-1] == ' ' {
				return end, '#'
			}
		}
		end = i + 1
	}
	return end, '\n'
}

// plain reads a scalar without quotes, which may go on over lines indented
// deeper than parent.
func (p *parser) plain(parent int) *node {
	if !plainStart(p.s, p.pos, false) {
		return p.fail()
	}
	n := p.new(scalarKind, p.pos)
	end, stop := p.plainLine(p.pos)
	if p.bad || stop == ':' {
		return p.fail()
	}
	text := p.s[p.pos:end]
	p.pos = end
	for stop == '\n' {
		next, blanks := p.continuation(parent)
		if next < 0 {
			break
		}
		if end, stop = p.plainLine(next); p.bad || stop == ':' {
			return p.fail()
		}
		text += fold(blanks) + p.s[next:end]
		p.pos = end
	}
	t, resolved, ok := resolvePlain(text)
	if !ok {
		return p.fail()
	}
	n.tag, n.text = t, resolved
	return p.done(n)
}

// continuation finds where a scalar goes on after the line of pos: the offset
// of the next text, and how many line breaks are before it. It is -1 when the
// scalar has ended.
func (p *parser) continuation(parent int) (next, breaks int) {
	i := p.pos
	for {
		for i < len(p.s) && p.s[i] == ' ' {
			i++
		}
		if i < len(p.s) && p.s[i] == '\r' {
			i++
		}
		if i >= len(p.s) || p.s[i] != '\n' {
			break
		}
		i++
		breaks++
		line := i
		for i < len(p.s) && p.s[i] == ' ' {
			i++
		}
		if !p.lineEnd(i) {
			if i-line <= parent || p.s[i] == '#' {
				return -1, 0
			}
			if p.bol = line; p.marker(i) {
				return -1, 0
			}
			if p.s[i] == '\t' {
				p.bad = true
			}
			return i, breaks
		}
	}
	return -1, 0
}

// fold is what line breaks within a scalar become: one is a blank, more are one
// less.
func fold(breaks int) string {
	if breaks == 1 {
		return " "
	}
	return strings.Repeat("\n", breaks-1)
}

// blockScalar reads | and > with their header.
func (p *parser) blockScalar(parent int) *node {
	n := p.new(scalarKind, p.pos)
	n.style = blockStyle
	folded := p.s[p.pos] == '>'
	p.pos++
	chomp, indent := byte(0), 0
	for ; p.pos < len(p.s); p.pos++ {
		switch c := p.s[p.pos]; {
		case (c == '+' || c == '-') && chomp == 0:
			chomp = c
			continue
		case c >= '1' && c <= '9' && indent == 0:
			indent = max(parent, 0) + int(c-'0')
			continue
		}
		break
	}
	headerEnd := p.pos
	if p.rest(); p.bad {
		return nil
	}
	b := blockReader{p: p, out: p.arena.scratch[:0], indent: indent, parent: parent, folded: folded}
	b.read(headerEnd)
	if p.bad {
		return nil
	}
	n.text = b.text(chomp)
	n.keep = chomp == '+'
	if n.end = b.contentEnd; n.keep {
		n.end = b.blanksEnd
	}
	p.pos = b.last
	p.bol = strings.LastIndexByte(p.s[:p.pos], '\n') + 1
	p.advance()
	return n
}
