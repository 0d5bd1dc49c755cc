package ranges

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

const (
	maxBytes = 64 << 20  // a dump of a large cluster; memory is some ten times that
	maxDepth = 100       // nesting; Kubernetes objects need about 20
	maxNodes = 4_000_000 // values, aliases expanded; 64 MiB of JSON hold about that
)

// jsonReader reads one value.
type jsonReader struct {
	dec    *json.Decoder
	text   string
	seen   int64 // bytes whose lines are counted
	line   int
	budget *document.Budget
}

// advance counts the lines up to the last token.
func (d *jsonReader) advance() {
	now := d.dec.InputOffset()
	d.line += strings.Count(d.text[d.seen:now], "\n")
	d.seen = now
}

func (d *jsonReader) value(depth int) (*document.Node, error) {
	t, err := d.dec.Token()
	if err != nil {
		return nil, err
	}
	d.advance()
	d.budget.Values--
	if depth > maxDepth || d.budget.Values < 0 {
		return nil, fmt.Errorf("more than %d levels or %d values", maxDepth, maxNodes)
	}
	n := &document.Node{Line: d.line}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			n.Kind = document.List
			return n, d.list(n, depth)
		}
		n.Kind = document.Map
		return n, d.mapping(n, depth)
	case string:
		n.Kind, n.Text = document.String, t
	case json.Number:
		n.Kind, n.Text = document.Number, t.String()
	case bool:
		n.Kind, n.Text = document.Bool, strconv.FormatBool(t)
	}
	return n, nil
}

func (d *jsonReader) list(n *document.Node, depth int) error {
	for d.dec.More() {
		item, err := d.value(depth + 1)
		if err != nil {
			return err
		}
		n.Items = append(n.Items, item)
	}
	_, err := d.dec.Token()
	return err
}

func (d *jsonReader) mapping(n *document.Node, depth int) error {
	names := map[string]bool{}
	for d.dec.More() {
		t, err := d.dec.Token()
		if err != nil {
			return err
		}
		d.advance()
		name, ok := t.(string)
		if !ok {
			return fmt.Errorf("a key that is not a string")
		}
		if names[name] {
			return fmt.Errorf("duplicate key %q", problem.Short(name))
		}
		names[name] = true
		line := d.line
		v, err := d.value(depth + 1)
		if err != nil {
			return err
		}
		n.Fields = append(n.Fields, document.Field{Name: name, Line: line, Value: v})
	}
	_, err := d.dec.Token()
	return err
}
