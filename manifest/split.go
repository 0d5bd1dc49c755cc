package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// chunk is one document with everything around it that belongs to no other: the
// comments, directives and "---" before it, the "..." after it. JSON objects that
// share a line are one chunk. The chunks of a stream, one after the other, are the
// stream.
type chunk struct {
	text   []byte // without the byte order mark
	bom    bool
	line   int // 1-based, of the first byte
	number int // 1-based, of its first document; 0 for trailing comments without one
	// from is where the document starts: after the line of "---", else 0.
	from      int
	directive bool
	objects   int              // JSON objects, one after the other; 0 for YAML
	problem   *problem.Problem // of the text around the document, which is not read

	counted, counts int // line breaks up to an offset, for the next one
}

var (
	bom      = []byte("\xef\xbb\xbf")
	errUTF16 = errors.New("the file is UTF-16; convert it to UTF-8")
)

// splitter cuts a stream into chunks where kubectl does: a stream that starts with
// "{" is JSON objects one after the other, up to the first text that is none; then
// documents are separated by lines that start with "---".
type splitter struct {
	r      *bufio.Reader
	again  []byte // to be read before r
	max    int
	line   int // of the next line that is read, 1-based
	docs   int
	opened bool

	cur     chunk
	marker  bool // cur has its "---"
	content bool // cur has more than comments and directives
	ended   bool // the document before cur ended with "..."
	held    []byte
	done    bool
	// first is set where kubectl's document has no line yet.
	first     bool
	misplaced bool // a byte order mark is before the held line

	json    bool // the stream has been JSON objects so far
	objects int  // how many
}

func newSplitter(r io.Reader, max int) *splitter {
	return &splitter{r: bufio.NewReaderSize(r, 64<<10), max: max, line: 1, first: true, cur: chunk{line: 1}}
}

// next returns the next chunk, or io.EOF.
func (s *splitter) next() (chunk, error) {
	if !s.opened {
		s.opened = true
		if head, _ := s.r.Peek(2); bytes.Equal(head, []byte("\xff\xfe")) || bytes.Equal(head, []byte("\xfe\xff")) {
			return chunk{}, errUTF16
		}
		s.json = s.startsAsJSON()
	}
	if s.json {
		if c, ok, err := s.nextJSON(); ok || err != nil {
			return c, err
		}
	}
	if s.held != nil {
		s.take(s.held)
		s.held = nil
	}
	for {
		line, err := s.readLine()
		if err != nil {
			return chunk{}, err
		}
		if len(line) == 0 {
			break
		}
		if s.starts(line) {
			s.held = line
			return s.flush(), nil
		}
		s.take(line)
		if err := s.tooLarge(); err != nil {
			return chunk{}, err
		}
		if isMarker(line, "...") && (s.marker || s.content) {
			c := s.flush()
			s.ended = true
			return c, nil
		}
	}
	if len(s.cur.text) > 0 || s.cur.bom {
		return s.flush(), nil
	}
	return chunk{}, io.EOF
}

// readLine returns the next line with its line break; nothing at the end.
func (s *splitter) readLine() ([]byte, error) {
	if i := bytes.IndexByte(s.again, '\n') + 1; i > 0 {
		line := s.again[:i]
		s.again = s.again[i:]
		return line, nil
	}
	var line []byte
	if !s.done {
		var err error
		if line, err = s.r.ReadBytes('\n'); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read: %w", err)
		}
		s.done = err != nil
	}
	if len(s.again) > 0 {
		line = append(bytes.Clone(s.again), line...)
		s.again = nil
	}
	return line, nil
}

// tooLarge is the error of a document that exceeds the limit.
func (s *splitter) tooLarge() error {
	if s.max <= 0 || len(s.cur.text) <= s.max {
		return nil
	}
	return fmt.Errorf("document %d, from line %d on, exceeds %d MiB; "+
		"split it into several documents", s.docs+1, s.cur.line, s.max>>20)
}

// starts reports whether a line starts the next document.
func (s *splitter) starts(line []byte) bool {
	text := bytes.TrimPrefix(line, bom)
	if !isSeparator(text) || !s.marker && !s.content {
		return false
	}
	s.misplaced = len(text) < len(line) && !s.first
	return true
}

// take adds a line to the current chunk.
func (s *splitter) take(line []byte) {
	s.line++
	if len(s.cur.text) == 0 && bytes.HasPrefix(line, bom) {
		s.cur.bom = true
		line = line[len(bom):]
	}
	first := s.first
	s.first = isSeparator(line) && !first
	at := len(s.cur.text)
	s.cur.text = append(s.cur.text, line...)
	if first && s.marker && !s.content && bytes.HasPrefix(line, bom) {
		line = line[len(bom):] // at the start of kubectl's document it has no meaning
		s.cur.from = len(s.cur.text) - len(line)
	}
	rest := bytes.TrimLeft(line, " \t\r\n")
	switch {
	case isSeparator(line) && !s.content && !s.marker:
		s.separator(line, at, first)
	case s.content || len(rest) == 0 || rest[0] == '#' || isMarker(line, "..."):
	case line[0] == '%' && !s.marker:
		s.cur.directive = true
		if !s.ended {
			s.reject(s.line-1, "YAML directive: kubectl does not read it", "remove the line")
		}
	default:
		s.content = true
		if s.ended && !s.marker {
			s.reject(s.line-1, `text between "..." and the next "---": kubectl ignores it`, `start the document with a line "---"`)
		}
	}
}

// separator takes the "---" of the current chunk, whose line starts at an offset.
func (s *splitter) separator(line []byte, at int, first bool) {
	s.marker = true
	s.cur.from = at + len(bytes.TrimRight(line, "\r\n"))
	rest := bytes.TrimSpace(line[3:])
	switch {
	case len(rest) > 0 && rest[0] != '#':
		s.content = true
		s.reject(s.line-1, `text after "---" on its line`, "start the document on the next line")
	case first && !isMarker(line, "---"):
		// kubectl takes the line for text where no other is before it in its document.
		s.content = true
		s.reject(s.line-1, `"---" at the start of a document and a comment without a blank between them`, `write "--- #"`)
	case s.misplaced:
		s.content = true
		s.reject(s.line-1, `byte order mark before "---" in the middle of the file`, "remove it")
	}
	s.misplaced = false
}

// reject makes the current chunk one that is not read.
func (s *splitter) reject(line int, rule, fix string) {
	if s.cur.problem == nil {
		p := problem.Invalid("", "", rule, fix).On(line, 0)
		s.cur.problem = &p
	}
}

// flush ends the current chunk.
func (s *splitter) flush() chunk {
	c := s.cur
	if s.marker || s.content {
		s.docs++
		c.number = s.docs
	}
	s.cur = chunk{line: s.line}
	s.marker, s.content, s.ended = false, false, false
	return c
}

// isSeparator reports whether a line starts with "---", as those do that separate
// documents for kubectl, or are an error.
func isSeparator(line []byte) bool { return bytes.HasPrefix(line, []byte("---")) }

// isMarker reports whether a line starts with "---" or "..." and a blank.
func isMarker(line []byte, marker string) bool {
	if len(line) < 3 || string(line[:3]) != marker {
		return false
	}
	return len(line) == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\n' || line[3] == '\r'
}

// forYAML is the text without what is after "---" before the document: a comment,
// which without a blank before it would be text, and a byte order mark.
func (c *chunk) forYAML() string {
	text := string(c.text)
	head := strings.TrimRight(strings.TrimSuffix(text[:c.from], string(bom)), "\r\n")
	if after := strings.LastIndexByte(head, '\n') + 1 + len("---"); after <= c.from {
		between := strings.Repeat("\n", strings.Count(text[after:c.from], "\n"))
		text = text[:after] + between + text[c.from:]
	}
	return text
}

// lineOf is the 1-based line in the file of an offset in the chunk. Asked in
// ascending order it counts every line once.
func (c *chunk) lineOf(offset int) int {
	offset = min(max(offset, 0), len(c.text))
	if offset < c.counted {
		c.counted, c.counts = 0, 0
	}
	c.counts += bytes.Count(c.text[c.counted:offset], []byte("\n"))
	c.counted = offset
	return c.line + c.counts
}
