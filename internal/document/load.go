package document

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"github.com/outrider-mesh/outrider/internal/problem"
)

const (
	maxDepth = 100     // nesting; Kubernetes objects need about 20
	maxNodes = 100_000 // after aliases are expanded; 1 MiB of text holds fewer in practice
	maxText  = 8 << 20 // bytes of all scalars, after aliases are expanded
)

// Load reads exactly one document of at most maxBytes. An empty document is a
// nil Node without problems. When there are problems, the Node holds what could be
// read, so that the caller can go on and report everything at once; it is nil
// when nothing could.
func Load(text string, maxBytes int) (*Node, problem.List) {
	switch {
	case len(text) > maxBytes:
		return nil, problem.List{tooLong(text, maxBytes)}
	case !utf8.ValidString(text):
		line, column := invalidAt(text)
		return nil, problem.List{problem.Invalid("", "", "not valid UTF-8", "save the text as UTF-8").On(line, column)}
	case blank(text):
		return nil, nil
	}
	return Read(text, Options{})
}

// Options of Read. The zero value reads as Load does.
type Options struct {
	// Line is the number of lines before the text, which is added to all lines.
	Line int
	// AsText keeps every scalar other than null as the String of its text,
	// whatever its tag: for documents of unknown origin, of which only texts are
	// used.
	AsText bool
	// Budget is what is left of the limits, for several texts that share them;
	// nil for the limits of one document.
	Budget *Budget
}

// Budget is the number of values, and of bytes in them, that may still be read,
// after aliases are expanded.
type Budget struct{ Values, Bytes int }

// Read is Load for text that is known to be UTF-8, not blank, and not too long.
func Read(text string, o Options) (*Node, problem.List) {
	if o.Budget == nil {
		o.Budget = &Budget{Values: maxNodes, Bytes: maxText}
	}
	var doc yaml.Node
	err := yaml.Load([]byte(text), &doc, yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err != nil {
		p := syntax(text, err)
		return nil, problem.List{p.On(o.Line+max(1, p.Line), p.Column)}
	}
	l := loader{Options: o, limits: *o.Budget, active: map[*yaml.Node]bool{}}
	n := l.node(&doc, "", 0)
	if n != nil && n.Kind == Null {
		n = nil
	}
	return n, l.found
}

// tooLong is the problem of a whole text, which is not quoted.
func tooLong(text string, maxBytes int) problem.Problem {
	p := problem.TooLong("", text, maxBytes)
	p.Value = ""
	return p
}

// blank reports a text of white space, comments and document markers only.
func blank(text string) bool {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.TrimPrefix(line, "\uFEFF"))
		if line != "" && line != "---" && line != "..." && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

func invalidAt(text string) (line, column int) {
	line, column = 1, 1
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 {
			return line, column
		}
		i += size
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	return line, column
}

// syntax is the problem of a text that is not YAML.
func syntax(text string, err error) problem.Problem {
	message, line, column := err.Error(), 0, 0
	var le *yaml.LoadError
	if errors.As(err, &le) && le.Message != "" {
		message = le.Message
		if le.Mark.Line > 0 {
			line, column = le.Mark.Line, le.Mark.Column
		}
	}
	rule, fix := "not valid YAML or JSON: "+problem.Short(message), ""
	switch {
	case strings.Contains(message, "found multiple"):
		rule, fix = "more than one document", `remove all but one, and the "---" between them`
	case line > 0 && tabIndented(text, line):
		fix = "indent with spaces, not tabs"
	}
	return problem.Invalid("", "", rule, fix).On(line, column)
}

// tabIndented reports a tab in the indentation of the line or of the next one.
func tabIndented(text string, line int) bool {
	i := 0
	for l := range strings.Lines(text) {
		i++
		indent := l[:len(l)-len(strings.TrimLeft(l, " \t"))]
		if (i == line || i == line+1) && strings.Contains(indent, "\t") {
			return true
		}
	}
	return false
}

type loader struct {
	Options
	limits Budget // at the start
	found  problem.List
	over   bool
	active map[*yaml.Node]bool // aliases being expanded
	outer  *yaml.Node          // the outermost of them
}

func (l *loader) add(n *yaml.Node, path, rule, fix string) {
	l.found.Add(problem.Invalid(path, "", rule, fix).On(l.Line+n.Line, n.Column))
}

// node converts a YAML node; nil if that is not possible.
func (l *loader) node(n *yaml.Node, path string, depth int) *Node {
	l.Budget.Values--
	l.Budget.Bytes -= len(n.Value)
	if l.Budget.Values < 0 || l.Budget.Bytes < 0 || depth > maxDepth {
		at := n
		if l.outer != nil {
			at = l.outer
		}
		if !l.over {
			l.add(at, path, fmt.Sprintf("more than %d values, %d bytes or %d levels once aliases are expanded",
				l.limits.Values, l.limits.Bytes, maxDepth), "use fewer aliases")
		}
		l.over = true
		return nil
	}
	switch n.Kind {
	case yaml.DocumentNode:
		if len(n.Content) == 0 {
			return nil
		}
		return l.node(n.Content[0], path, depth)
	case yaml.AliasNode:
		if n.Alias == nil || l.active[n.Alias] {
			l.add(n, path, "alias refers to itself", "replace the alias with its value")
			return nil
		}
		l.active[n.Alias] = true
		defer delete(l.active, n.Alias)
		if l.outer == nil {
			l.outer = n
			defer func() { l.outer = nil }()
		}
		return l.node(n.Alias, path, depth+1)
	case yaml.SequenceNode:
		out := &Node{Line: l.Line + n.Line, Column: n.Column, Kind: List}
		for i, c := range n.Content {
			if item := l.node(c, Index(path, i), depth+1); item != nil {
				out.Items = append(out.Items, item)
			}
		}
		return out
	case yaml.MappingNode:
		return l.mapping(n, path, depth)
	}
	return l.scalar(n, path)
}

func (l *loader) mapping(n *yaml.Node, path string, depth int) *Node {
	out := &Node{Line: l.Line + n.Line, Column: n.Column, Kind: Map}
	seen := make(map[string]int, len(n.Content)/2)
	var merges []*Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode && key.Alias != nil {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			l.add(n.Content[i], path, "keys must be strings", "")
			continue
		}
		if key.ShortTag() == "!!merge" {
			if m := l.node(value, path, depth+1); m != nil {
				merges = append(merges, m)
			}
			continue
		}
		at := Join(path, key.Value)
		if line, dup := seen[key.Value]; dup {
			l.add(n.Content[i], at, fmt.Sprintf("duplicate key, first on line %d", line), "remove one of the two")
			continue
		}
		seen[key.Value] = l.Line + n.Content[i].Line
		if v := l.node(value, at, depth+1); v != nil {
			out.Fields = append(out.Fields, Field{Name: key.Value, Line: l.Line + n.Content[i].Line, Column: n.Content[i].Column, Value: v})
		}
	}
	for _, m := range merges {
		l.merge(out, m, n, path)
	}
	return out
}

// merge adds the fields of a "<<" value that the mapping lacks: its own fields take
// precedence, then the earlier of several.
func (l *loader) merge(out, m *Node, at *yaml.Node, path string) {
	switch m.Kind {
	case Map:
		have := make(map[string]bool, len(out.Fields))
		for _, f := range out.Fields {
			have[f.Name] = true
		}
		for _, f := range m.Fields {
			if !have[f.Name] {
				out.Fields = append(out.Fields, f)
			}
		}
	case List:
		for _, item := range m.Items {
			if item.Kind == Map {
				l.merge(out, item, at, path)
			}
		}
	default:
		l.add(at, path, `the value of "<<" must be a mapping`, "")
	}
}

func (l *loader) scalar(n *yaml.Node, path string) *Node {
	out := &Node{Line: l.Line + n.Line, Column: n.Column, Kind: String, Text: n.Value, Value: n.Value}
	out.Block = n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
	tag := n.ShortTag()
	if l.AsText && tag != "!!null" {
		return out
	}
	switch tag {
	case "!!str", "!!timestamp":
	case "!!null":
		out.Kind, out.Value = Null, nil
	case "!!bool", "!!int", "!!float":
		var v any
		if err := n.Decode(&v); err != nil {
			l.add(n, path, "invalid value of type "+tag, "")
			return nil
		}
		return l.decoded(out, v, n, path)
	default:
		l.add(n, path, "unsupported YAML tag "+problem.Quote(tag), "remove it")
		return nil
	}
	return out
}

// decoded fills in a scalar that is not a string.
func (l *loader) decoded(out *Node, v any, n *yaml.Node, path string) *Node {
	out.Kind = Number
	switch v := v.(type) {
	case bool:
		out.Kind, out.Value = Bool, v
	case int:
		out.Value = int64(v)
	case int64:
		out.Value = v
	case uint64:
		out.Value = float64(v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			l.add(n, path, "must be a finite number", "")
			return nil
		}
		out.Value = v
	default: // a number of another type, such as a very large one: keep its text
		out.Kind, out.Value = String, n.Value
	}
	return out
}
