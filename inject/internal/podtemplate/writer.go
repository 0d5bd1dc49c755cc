package podtemplate

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The marker functions return their argument after a marker; the writer, which
// sees each printed value as one call, takes the marker off again. That is how
// a compiled template stays free of per-rendering state.
const (
	markText  = "_text"  // text of the pod, to be escaped
	markValue = "_value" // a whole YAML or JSON value with text of the pod in it
	markPass  = "_pass"  // one pass of a loop; prints nothing
)

const marker = "\x00\x1foutrider:"

// writer collects the output, counts steps and keeps track of the YAML context.
type writer struct {
	out     []byte
	steps   int
	context scanner
}

func newWriter() *writer {
	return &writer{out: make([]byte, 0, 8<<10), context: scanner{start: true}}
}

// Write takes template text, or one printed value.
func (w *writer) Write(p []byte) (int, error) {
	n := len(p)
	if rest, ok := bytes.CutPrefix(p, []byte(marker)); ok {
		kind, text := rest[0], string(rest[1:])
		if err := w.step(); err != nil {
			return 0, err
		}
		switch kind {
		case 'p':
			return n, nil
		case 'v':
			text = w.context.value(text)
		case 't':
			var err error
			if text, err = w.context.text(text); err != nil {
				return 0, err
			}
		}
		p = []byte(text)
	}
	if len(w.out)+len(p) > maxOutput {
		return 0, fmt.Errorf("the output is larger than %d bytes", maxOutput)
	}
	w.context.advance(p)
	w.out = append(w.out, p...)
	return n, nil
}

func (w *writer) step() error {
	if w.steps++; w.steps > maxSteps {
		return fmt.Errorf("more than %d loop passes and values; shorten the loops", maxSteps)
	}
	return nil
}

// scanner follows the output just far enough to know in which kind of YAML
// scalar the next byte stands. Quotes are taken not to run over line ends: text
// in the rare scalar that does is treated as plain, which rejects more.
type scanner struct {
	quote  byte // '"', '\'' or 0
	escape bool // after a backslash in double quotes
	start  bool // a value could begin here
	colon  bool // the last byte was ':' or '-', which a blank makes an indicator
	blank  bool // the last byte was a blank
	remark bool // in a comment
	line   bool // nothing but blanks on this line so far
	flow   int  // open [ and {
}

func (s *scanner) advance(p []byte) {
	for _, c := range p {
		s.next(c)
	}
}

func (s *scanner) next(c byte) {
	switch {
	case c == '\n':
		*s = scanner{start: true, line: true, flow: s.flow, blank: true}
		return
	case s.remark:
		return
	case s.quote == '"' && s.escape:
		s.escape = false
		return
	case s.quote == '"' && c == '\\':
		s.escape = true
		return
	case s.quote != 0:
		if c == s.quote {
			s.quote, s.start = 0, false
		}
		return
	}
	s.plain(c)
}

func (s *scanner) plain(c byte) {
	switch {
	case c == ' ' || c == '\t':
		s.start = s.start || s.colon
		s.colon, s.blank = false, true
		return
	case c == '#' && s.blank:
		s.remark = true
	case (c == '"' || c == '\'') && s.start:
		s.quote = c
	case (c == '[' || c == '{') && s.start:
		s.flow++
		s.colon, s.blank, s.line = false, false, false
		return // a value may begin right after it
	case (c == ']' || c == '}') && s.flow > 0:
		s.flow--
	case c == ',' && s.flow > 0:
		s.start, s.colon, s.blank = true, false, false
		return
	}
	s.colon = c == ':' || c == '?' || c == '-' && s.start
	s.start, s.blank, s.line = false, false, false
}

// value fits a whole YAML or JSON value into the quotes around it, if any.
func (s *scanner) value(text string) string {
	switch s.quote {
	case '"':
		return escapeDouble(text)
	case '\'':
		return strings.ReplaceAll(text, "'", "''")
	}
	return text
}

// text escapes text of the pod for its place, or returns why it is not allowed there.
func (s *scanner) text(text string) (string, error) {
	switch s.quote {
	case '"':
		return escapeDouble(text), nil
	case '\'':
		if strings.ContainsFunc(text, isControl) {
			return "", structureError(text, "line breaks and control characters are not allowed in single quotes")
		}
		return strings.ReplaceAll(text, "'", "''"), nil
	}
	if why := s.plainFault(text); why != "" {
		return "", structureError(text, why)
	}
	return text, nil
}

// plainFault is what in a text would be YAML syntax outside of quotes.
func (s *scanner) plainFault(text string) string {
	switch {
	case text == "":
		return ""
	case strings.ContainsFunc(text, isControl):
		return "it has a line break or control character"
	case strings.ContainsAny(text, `"'`):
		return "it has a quote"
	case strings.Contains(text, ": "), strings.HasSuffix(text, ":"):
		return `it has a ":" that makes a key`
	case strings.Contains(text, " #"), text[0] == '#' && (s.blank || s.start):
		return `it has a "#" that begins a comment`
	case strings.ContainsAny(text, "[]{}"):
		return "it has brackets"
	case s.flow > 0 && strings.ContainsAny(text, ",:?"):
		return "it has a comma, colon or question mark inside brackets"
	case s.start || s.colon:
		return startFault(strings.TrimSpace(text))
	}
	return ""
}

// startFault is what at the start of a plain scalar would be syntax.
func startFault(text string) string {
	switch {
	case text == "" || text == "~" || strings.EqualFold(text, "null") || text == "<<":
		return "it is a reserved YAML value"
	case strings.IndexByte("&*!|>%@`,", text[0]) >= 0:
		return fmt.Sprintf("it begins with %q", text[:1])
	case text == "-", text == "?", strings.HasPrefix(text, "- "), strings.HasPrefix(text, "? "), strings.HasPrefix(text, "---"), strings.HasPrefix(text, "..."):
		return fmt.Sprintf("it begins with %q", text[:1])
	}
	return ""
}

var errStructure = errors.New("a value of the pod would change the structure of the template's output")

func structureError(text, why string) error {
	const most = 80
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return fmt.Errorf("%w: %q: %s; quote it in the template: {{ toJSON ... }}", errStructure, text, why)
}

// isControl names what YAML has no bare spelling for, or reads as a line break
// or byte order mark.
func isControl(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff || r == 0xfffe || r == 0xffff
}

// escapeDouble writes text for the inside of double quotes, as YAML and JSON
// both read it.
func escapeDouble(text string) string {
	if !strings.ContainsAny(text, `"\`) && !strings.ContainsFunc(text, isControl) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case isControl(r):
			b.WriteString(`\u` + strconv.FormatInt(0x10000+int64(r), 16)[1:])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
