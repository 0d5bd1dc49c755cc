package ranges

import (
	"fmt"

	"go.yaml.in/yaml/v4"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// yamlReader turns YAML's nodes into ours, aliases and merge keys resolved.
type yamlReader struct {
	doc      string
	offset   int // lines before the text
	count    *int
	active   map[*yaml.Node]bool // aliases being expanded
	problems problem.List
}

func (y *yamlReader) fail(n *yaml.Node, rule, fix string) *node {
	if len(y.problems) == 0 {
		y.problems.Add(problem.Invalid("", "", rule, fix).In(y.doc).On(y.offset+n.Line, 0))
	}
	return &node{shape: null}
}

func (y *yamlReader) value(n *yaml.Node, depth int) *node {
	*y.count++
	if depth > maxDepth || *y.count > maxNodes {
		return y.fail(n, fmt.Sprintf("more than %d levels or %d values once aliases are expanded", maxDepth, maxNodes), "")
	}
	switch n.Kind {
	case yaml.DocumentNode:
		if len(n.Content) == 0 {
			break
		}
		return y.value(n.Content[0], depth)
	case yaml.AliasNode:
		if n.Alias == nil || y.active[n.Alias] {
			return y.fail(n, "an alias inside its own anchor", "write the value out")
		}
		y.active[n.Alias] = true
		defer delete(y.active, n.Alias)
		return y.value(n.Alias, depth+1)
	case yaml.SequenceNode:
		out := &node{shape: list, line: y.offset + n.Line}
		for _, c := range n.Content {
			out.items = append(out.items, y.value(c, depth+1))
		}
		return out
	case yaml.MappingNode:
		return y.mapping(n, depth)
	case yaml.ScalarNode:
		if n.ShortTag() != "!!null" {
			block := n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
			return &node{shape: scalar, line: y.offset + n.Line, text: n.Value, block: block}
		}
		return &node{shape: null, line: y.offset + n.Line}
	}
	return &node{shape: null, line: y.offset + n.Line}
}

func (y *yamlReader) mapping(n *yaml.Node, depth int) *node {
	out := &node{shape: mapping, line: y.offset + n.Line}
	names := make(map[string]bool, len(n.Content)/2)
	var merged []*node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind == yaml.AliasNode && key.Alias != nil {
			key = key.Alias
		}
		switch {
		case key.Kind != yaml.ScalarNode:
			return y.fail(n.Content[i], "a key that is not a string", "")
		case key.ShortTag() == "!!merge":
			merged = append(merged, y.value(n.Content[i+1], depth+1))
			continue
		case names[key.Value]:
			return y.fail(n.Content[i], fmt.Sprintf("duplicate key %q", problem.Short(key.Value)), "keep one of the two")
		}
		names[key.Value] = true
		out.fields = append(out.fields, field{key.Value, y.offset + n.Content[i].Line, y.value(n.Content[i+1], depth+1)})
	}
	for _, m := range merged {
		for _, from := range append(m.items, m) {
			for _, f := range from.fields {
				if !names[f.name] {
					names[f.name] = true
					out.fields = append(out.fields, f)
				}
			}
		}
	}
	return out
}
