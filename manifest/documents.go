package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Document is one document of a stream, without its separator.
type Document struct {
	Text []byte
	Line int // 1-based, of its first byte
	// Problem is why the document is not read; nil where it is.
	Problem *problem.Problem
}

// Documents calls each with the documents of a stream, which is split where kubectl splits
// it. A document exceeds max bytes, or the stream cannot be read: then there is an error.
func Documents(r io.Reader, max int, each func(Document)) error {
	for s := newSplitter(r, max); ; {
		c, err := s.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case c.number == 0: // comments at the end
			continue
		case c.problem != nil:
			each(Document{Text: c.text, Line: c.line, Problem: c.problem})
		case c.objects > 1:
			eachJSON(&c, each)
		default:
			each(c.document())
		}
	}
}

// document is a chunk with one document.
func (c *chunk) document() Document {
	text, line := c.text[c.from:], c.lineOf(c.from)
	for _, end := range []string{"\r\n", "\n"} { // of the line "---"
		if rest, ok := bytes.CutPrefix(text, []byte(end)); ok && c.from > 0 {
			text, line = rest, line+1
			break
		}
	}
	return Document{Text: text, Line: line}
}

// maxPadding bounds the blanks before an object that does not start its line: they keep
// its columns.
const maxPadding = 4096

// eachJSON calls each with JSON objects that follow one another.
func eachJSON(c *chunk, each func(Document)) {
	d := json.NewDecoder(bytes.NewReader(c.text))
	for {
		var object json.RawMessage
		if d.Decode(&object) != nil {
			return // isObjects has read all of them
		}
		start := int(d.InputOffset()) - len(object)
		text := []byte(object)
		if column := start - bytes.LastIndexByte(c.text[:start], '\n') - 1; column < maxPadding {
			text = append(bytes.Repeat([]byte(" "), column), object...)
		}
		each(Document{Text: text, Line: c.lineOf(start)})
	}
}

// Unrendered is the problem of a text that is not YAML because it is a template of Helm or
// Jinja; else it is p, the problem of the text. command is the one that reads the text.
func Unrendered(text, command string, p problem.Problem) problem.Problem {
	t := &transformer{c: &chunk{text: []byte(text)}, mem: newArena()}
	q := *t.unrendered(&p)
	if q.Fix == renderFirst {
		q.Fix = fmt.Sprintf("render it first, such as: helm template CHART | outrider %s -f -", command)
	}
	return q
}
