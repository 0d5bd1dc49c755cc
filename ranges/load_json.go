package ranges

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

type jsonReader struct {
	dec   *json.Decoder
	text  string
	seen  int64 // bytes whose lines are counted
	line  int
	count *int
}

// advance counts the lines up to the last token.
func (d *jsonReader) advance() {
	now := d.dec.InputOffset()
	d.line += strings.Count(d.text[d.seen:now], "\n")
	d.seen = now
}

func (d *jsonReader) value(depth int) (*node, error) {
	t, err := d.dec.Token()
	if err != nil {
		return nil, err
	}
	d.advance()
	*d.count++
	if depth > maxDepth || *d.count > maxNodes {
		return nil, fmt.Errorf("more than %d levels or %d values", maxDepth, maxNodes)
	}
	n := &node{line: d.line, shape: scalar}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			n.shape = list
			return n, d.list(n, depth)
		}
		n.shape = mapping
		return n, d.mapping(n, depth)
	case string:
		n.text = t
	case json.Number:
		n.text = t.String()
	case bool:
		n.text = fmt.Sprint(t)
	default:
		n.shape = null
	}
	return n, nil
}

func (d *jsonReader) list(n *node, depth int) error {
	for d.dec.More() {
		item, err := d.value(depth + 1)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, err := d.dec.Token()
	return err
}

func (d *jsonReader) mapping(n *node, depth int) error {
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
		n.fields = append(n.fields, field{name, line, v})
	}
	_, err := d.dec.Token()
	return err
}
