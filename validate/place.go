package validate

import (
	"strings"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/document"
)

// place is where something is in a file.
type place struct{ line, column int }

// tree is the document by lines and columns; nil where it cannot be read.
func (d *source) tree() *document.Node {
	if d.node == nil && !d.unplaced {
		d.node, d.problems = document.Read(string(d.Text), document.Options{Line: d.Line - 1, Budget: budget(len(d.Text))})
		d.unplaced = d.node == nil
	}
	return d.node
}

// budget is what a document may have once aliases are expanded: as many values as it has
// bytes, of which a value takes at least one, and an eighth of a mebibyte more.
func budget(bytes int) *document.Budget {
	return &document.Budget{Values: bytes + 1<<17, Bytes: 2*bytes + 8<<20}
}

// node is an item of the document.
func (i *item) node() *document.Node {
	n := i.source.tree()
	for _, at := range i.at {
		items := n.Get("items")
		if items == nil || at >= len(items.Items) {
			return nil
		}
		n = items.Items[at]
	}
	return n
}

// start is the place of the item itself.
func (i *item) start() place {
	if n := i.node(); n != nil {
		return place{n.Line, n.Column}
	}
	return place{i.source.Line, 1}
}

// of is the place of a path in the item, or of the last part of it that exists.
func (i *item) of(path string) place {
	p, _ := i.find(path)
	return p
}

func (i *item) find(path string) (p place, exact bool) {
	line, column, exact := i.node().Place(path)
	if line == 0 {
		return i.start(), false
	}
	return place{line, column}, exact
}

// inKey is the place of a line and column of the text that a key of the ConfigMap has.
func (i *item) inKey(key string, line, column int) place {
	data := i.node().Get("data")
	at, exact := i.find(`data["` + key + `"]`)
	if !exact {
		return at
	}
	return i.source.inText(data.Get(key), at, line, column)
}

// inText is the place of a line and column of a scalar's text: in a literal block, or in a
// text on one line. In others lines are folded or escaped, and it is that of the key.
func (d *source) inText(n *document.Node, key place, line, column int) place {
	if n == nil || line < 1 {
		return key
	}
	lines := strings.Split(n.Text, "\n")
	if line > len(lines) {
		line, column = len(lines), 1
	}
	text := lines[line-1]
	if n.Block {
		raw := d.line(n.Line + line)
		indent := len(raw) - len(text)
		if indent < 0 || raw[indent:] != text || strings.Trim(raw[:indent], " ") != "" {
			return key
		}
		return place{n.Line + line, indent + max(column, 1)}
	}
	raw := []rune(d.line(n.Line))
	for _, quote := range []int{0, 1} {
		if from := n.Column - 1 + quote; len(lines) == 1 && from <= len(raw) && strings.HasPrefix(string(raw[from:]), text) {
			return place{n.Line, from + max(column, 1)}
		}
	}
	return key
}

// line is a line of the file, without its line break.
func (d *source) line(number int) string {
	if d.lines == nil {
		d.lines = strings.Split(string(d.Text), "\n")
	}
	if at := number - d.Line; at >= 0 && at < len(d.lines) {
		return strings.TrimSuffix(d.lines[at], "\r")
	}
	return ""
}

// forget frees what the places were found with.
func (d *source) forget() { d.node, d.lines, d.unplaced = nil, nil, false }

// inTemplate is the place of a path of a workload's pod, as the injection names it: in the
// pod template, whose JSON pointer is known, or in the workload itself.
func (i *item) inTemplate(pointer, path string) place {
	template := strings.ReplaceAll(strings.TrimPrefix(pointer, "/"), "/", ".")
	for _, root := range []string{template, ""} {
		metadata := joined(root, "metadata")
		if at, ok := i.metadataKey(metadata, path); ok {
			return at
		}
	}
	if at, exact := i.find(joined(template, path)); exact || path == "" {
		return at
	}
	if at, exact := i.find(path); exact {
		return at
	}
	return i.of(joined(template, path))
}

// metadataKey is the place of an annotation or a label by the path that annotation.Path makes.
func (i *item) metadataKey(root, path string) (place, bool) {
	for _, field := range []string{"annotations", "labels"} {
		at := root + "." + field
		n := i.node()
		for _, name := range strings.Split(at, ".") {
			n = n.Get(name)
		}
		if n == nil {
			continue
		}
		for _, f := range n.Fields {
			if path == annotation.Path(f.Name, field == "labels") {
				return place{f.Line, f.Column}, true
			}
		}
	}
	return place{}, false
}

// joined is a path below another one.
func joined(root, path string) string {
	if root == "" || path == "" {
		return root + path
	}
	return root + "." + path
}
