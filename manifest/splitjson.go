package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode"
)

// peeked is how much of a stream kubectl reads to distinguish JSON from YAML, in bytes.
const peeked = 4096

// startsAsJSON reports whether the stream's first character is "{".
func (s *splitter) startsAsJSON() bool {
	head, _ := s.r.Peek(peeked)
	return bytes.HasPrefix(bytes.TrimLeftFunc(bytes.TrimPrefix(head, bom), unicode.IsSpace), []byte("{"))
}

// nextJSON returns the next JSON objects, up to the end of the line on which one
// ends. It returns false where no object follows; then the text after the last one is
// still to be read, as YAML.
func (s *splitter) nextJSON() (chunk, bool, error) {
	var scan jsonScan
	for {
		line, err := s.readLine()
		if err != nil {
			return chunk{}, false, err
		}
		if len(line) == 0 {
			break
		}
		s.line++
		if len(s.cur.text) == 0 && bytes.HasPrefix(line, bom) && s.docs == 0 {
			s.cur.bom = true
			line = line[len(bom):]
		}
		s.cur.text = append(s.cur.text, line...)
		if err := s.tooLarge(); err != nil {
			return chunk{}, false, err
		}
		if !scan.line(line) {
			break
		}
		if scan.values == 0 || scan.depth > 0 {
			continue
		}
		if !isObjects(string(s.cur.text)) {
			break
		}
		s.content = true
		c := s.flush()
		c.objects = scan.values
		s.docs += scan.values - 1
		s.objects += scan.values
		return c, true, nil
	}
	s.endJSON()
	return chunk{}, false, nil
}

// endJSON goes on in YAML with the text that is not JSON. kubectl does, too, unless it
// has read more than one object.
func (s *splitter) endJSON() {
	s.json = false
	text := s.cur.text
	if s.cur.bom {
		text = append(bytes.Clone(bom), text...)
	}
	s.again = append(bytes.Clone(text), s.again...)
	s.line = s.cur.line
	s.cur = chunk{line: s.line}
	rest := bytes.TrimSpace(text)
	switch {
	case s.objects == 0 || len(rest) == 0:
	case s.objects > 1:
		s.content = !isSeparator(rest)
		s.reject(s.line, "text that is not JSON after several JSON objects", `separate the objects with lines "---"`)
	case startsJSON(rest):
		s.content = true
		s.reject(s.line, "JSON that is not an object after a JSON object", "remove it")
	}
}

// startsJSON reports whether a JSON value of some other type than an object is at the
// start of the text.
func startsJSON(text []byte) bool {
	if text[0] == '{' {
		return false
	}
	var value json.RawMessage
	return json.NewDecoder(bytes.NewReader(text)).Decode(&value) == nil
}

// isObjects reports whether the text is JSON objects, one after the other.
func isObjects(text string) bool {
	if !strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") {
		return false
	}
	if json.Valid([]byte(text)) {
		return true
	}
	d := json.NewDecoder(strings.NewReader(text))
	for {
		var value json.RawMessage
		if err := d.Decode(&value); errors.Is(err, io.EOF) {
			return true
		} else if err != nil || value[0] != '{' {
			return false
		}
	}
}

// jsonScan finds where JSON objects end. It does not distinguish JSON from all other text.
type jsonScan struct {
	depth           int
	quoted, escaped bool
	values          int // that started
}

// line goes on with a line. It returns false for text that is no part of an object.
func (s *jsonScan) line(line []byte) bool {
	for _, c := range line {
		switch {
		case s.escaped:
			s.escaped = false
		case s.quoted && c == '\\':
			s.escaped = true
		case s.quoted && c == '\n':
			return false
		case c == '"' && s.depth > 0:
			s.quoted = !s.quoted
		case s.quoted:
		case c == '{' || c == '[' && s.depth > 0:
			if s.depth == 0 {
				s.values++
			}
			s.depth++
		case (c == '}' || c == ']') && s.depth > 0:
			s.depth--
		case s.depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n':
			return false
		}
	}
	return true
}

// separated is the text of JSON objects with a line "---" between them.
func separated(text []byte) []byte {
	var scan jsonScan
	out := make([]byte, 0, len(text)+16)
	for i := range text {
		if text[i] == '{' && scan.depth == 0 && scan.values > 0 {
			out = append(out, "\n---\n"...)
		}
		scan.line(text[i : i+1])
		out = append(out, text[i])
	}
	return out
}
