package ranges

import (
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// stringsOf are the texts of a scalar or of a list of them.
func stringsOf(n *document.Node) []string { return texts(find(n, "", "")) }

// scalar is a value that no YAML or JSON document holds: a part of a line.
func scalar(line int, text string) *document.Node {
	return &document.Node{Kind: document.String, Line: line, Text: text}
}

// isTrue reports the boolean true, also where a string holds it.
func isTrue(n *document.Node) bool { return strings.EqualFold(n.Str(), "true") }

// isFalse reports the boolean false, also where a string holds it.
func isFalse(n *document.Node) bool { return strings.EqualFold(n.Str(), "false") }

// flat reports a mapping of scalars.
func flat(n *document.Node) bool {
	if n == nil || n.Kind != document.Map || len(n.Fields) == 0 {
		return false
	}
	for _, f := range n.Fields {
		if f.Value.Kind == document.Map || f.Value.Kind == document.List && !flatList(f.Value) {
			return false
		}
	}
	return true
}

// flatList reports a list of scalars.
func flatList(n *document.Node) bool {
	if n.Kind != document.List {
		return false
	}
	for _, item := range n.Items {
		if item.Kind == document.List || item.Kind == document.Map {
			return false
		}
	}
	return true
}

// found is a scalar and the path it was found at.
type found struct {
	node *document.Node
	path string
}

// find returns the scalars at a path of field names joined by dots. Lists on
// the way, and at the end, expand to their elements. base is the path
// of n itself.
func find(n *document.Node, path, base string) []found {
	if n == nil {
		return nil
	}
	switch n.Kind {
	case document.List:
		var out []found
		for i, item := range n.Items {
			out = append(out, find(item, path, base+index(i))...)
		}
		return out
	case document.Bool, document.Number, document.String:
		if path == "" && n.Text != "" {
			return []found{{n, base}}
		}
	case document.Map:
		if path == "" {
			return nil
		}
		name, rest, _ := strings.Cut(path, ".")
		return find(n.Get(name), rest, join(base, name))
	}
	return nil
}

// join is the path of a field. A name that would read as several is bracketed.
func join(base, name string) string {
	if strings.ContainsAny(name, ".[ ") {
		return base + "[" + strconv.Quote(problem.Short(name)) + "]"
	}
	if base == "" {
		return problem.Short(name)
	}
	return base + "." + problem.Short(name)
}

func index(i int) string { return "[" + strconv.Itoa(i) + "]" }

// texts are the texts of scalars.
func texts(fs []found) []string {
	var out []string
	for _, f := range fs {
		out = append(out, f.node.Text)
	}
	return out
}
