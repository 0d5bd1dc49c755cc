package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// chunk is one document with everything around it that belongs to no other: the
// comments, directives and "---" before it, the "..." after it. The chunks of a
// stream, one after the other, are the stream.
type chunk struct {
	text   []byte // without the byte order mark
	bom    bool
	line   int // 1-based, of the first byte
	number int // 1-based; 0 for trailing comments without a document
	// from is where the document starts: after "---", else 0.
	from      int
	directive bool

	counted, counts int // line breaks up to an offset, for the next one
}

var (
	bom      = []byte("\xef\xbb\xbf")
	errUTF16 = errors.New("the file is UTF-16; convert it to UTF-8")
)

// splitter cuts a stream into chunks.
type splitter struct {
	r    *bufio.Reader
	max  int
	line int // of the next line that is read, 1-based
	docs int

	cur     chunk
	marker  bool // cur has its "---"
	content bool // cur has more than comments and directives
	held    []byte
	done    bool
}

func newSplitter(r io.Reader, max int) *splitter {
	return &splitter{r: bufio.NewReaderSize(r, 64<<10), max: max, line: 1, cur: chunk{line: 1}}
}

// next returns the next chunk, or io.EOF.
func (s *splitter) next() (chunk, error) {
	if s.line == 1 {
		if head, _ := s.r.Peek(2); bytes.Equal(head, []byte("\xff\xfe")) || bytes.Equal(head, []byte("\xfe\xff")) {
			return chunk{}, errUTF16
		}
	}
	if s.held != nil {
		s.take(s.held)
		s.held = nil
	}
	for !s.done {
		line, err := s.r.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return chunk{}, fmt.Errorf("read: %w", err)
		}
		s.done = err != nil
		if len(line) == 0 {
			break
		}
		if isMarker(bytes.TrimPrefix(line, bom), "---") && (s.marker || s.content) {
			s.held = line
			return s.flush(), nil
		}
		s.take(line)
		if s.max > 0 && len(s.cur.text) > s.max {
			return chunk{}, fmt.Errorf("document %d, from line %d on, exceeds %d MiB; "+
				"split it into several documents", s.docs+1, s.cur.line, s.max>>20)
		}
		if isMarker(line, "...") && (s.marker || s.content) {
			return s.flush(), nil
		}
	}
	if len(s.cur.text) > 0 || s.cur.bom {
		return s.flush(), nil
	}
	return chunk{}, io.EOF
}

// take adds a line to the current chunk.
func (s *splitter) take(line []byte) {
	s.line++
	if len(s.cur.text) == 0 && bytes.HasPrefix(line, bom) {
		s.cur.bom = true
		line = line[len(bom):]
	}
	at := len(s.cur.text)
	s.cur.text = append(s.cur.text, line...)
	rest := bytes.TrimLeft(line, " \t\r\n")
	switch {
	case isMarker(line, "---") && !s.content && !s.marker:
		s.marker = true
		s.cur.from = at + 3
		rest = bytes.TrimLeft(line[3:], " \t\r\n")
		s.content = len(rest) > 0 && rest[0] != '#'
	case s.content || len(rest) == 0 || rest[0] == '#' || isMarker(line, "..."):
	case line[0] == '%' && !s.marker:
		s.cur.directive = true
	default:
		s.content = true
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
	s.marker, s.content = false, false
	return c
}

// isMarker reports whether a line starts with "---" or "..." and a blank.
func isMarker(line []byte, marker string) bool {
	if len(line) < 3 || string(line[:3]) != marker {
		return false
	}
	return len(line) == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\n' || line[3] == '\r'
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
