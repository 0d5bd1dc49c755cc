package manifest

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	yaml4 "go.yaml.in/yaml/v4"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/internal/problem"
)

var errNotWritten = errors.New("it cannot be encoded without changing its meaning (tags, aliases or layout are incompatible " +
	"with the injected parts); rewrite the pod template in plain block style")

// reencode rewrites a document with the meaning of want. Comments and order
// stay as far as yaml v4 keeps them; the lines before the document stay unchanged.
// The result is parsed again and compared.
func (a *arena) reencode(c *chunk, doc *fallbackDocument, want []*node) (string, error) {
	if doc == nil {
		var p *problem.Problem
		if doc, p = a.readFallback(c.forYAML()); p != nil {
			return "", errNotWritten
		}
	}
	if doc.json || doc.tree == nil {
		return a.reencodeJSON(c, doc, want)
	}
	if len(want) != 1 || len(doc.doc.roots) != 1 || len(doc.tree.Content) != 1 {
		return "", errNotWritten
	}
	old, tree := doc.doc.roots[0], doc.tree.Content[0]
	// The first try keeps anchors and aliases, the second writes them out.
	for range 2 {
		doc.tree.Content[0] = rewrite(tree, old, want[0])
		if text, ok := a.dump(c, doc.tree, want[0]); ok {
			return text, nil
		}
		tree = withoutAliases(tree)
	}
	return "", errNotWritten
}

func (a *arena) reencodeJSON(c *chunk, doc *fallbackDocument, want []*node) (string, error) {
	if !doc.json {
		return "", errNotWritten
	}
	var out []byte
	for i, root := range want {
		if i > 0 {
			out = append(out, '\n')
		}
		out = appendJSON(out, root, "\n", "", "  ")
	}
	again := a.parseJSON(string(out))
	if again == nil || !slices.EqualFunc(again.roots, want, equal) {
		return "", errNotWritten
	}
	if bytes.HasSuffix(c.text, []byte("\n")) {
		out = append(out, '\n')
	}
	return string(out), nil
}

// dump writes the tree after the chunk's own separator and compares.
func (a *arena) dump(c *chunk, tree *yaml4.Node, want *node) (string, bool) {
	lineBreak := yaml4.LineBreakLN
	if bytes.Contains(c.text, []byte("\r\n")) {
		lineBreak = yaml4.LineBreakCRLN
	}
	stand := newStandIns(tree)
	stand.replace(tree)
	body, err := yaml4.Dump(tree, yaml4.WithLineBreak(lineBreak), yaml4.WithLineWidth(-1))
	stand.restore(tree)
	if err != nil {
		return "", false
	}
	body = stand.back.bytes(body)
	prefix := string(c.text[:c.from])
	if prefix != "" && !strings.HasSuffix(prefix, string(bom)) {
		prefix += "\n"
		if lineBreak == yaml4.LineBreakCRLN {
			prefix = strings.TrimSuffix(prefix, "\n") + "\r\n"
		}
	}
	text := prefix + string(body)
	if last := bytes.LastIndexByte(bytes.TrimRight(c.text, "\r\n"), '\n') + 1; last > c.from && isMarker(c.text[last:], "...") {
		text += string(c.text[last:])
	}
	check := chunk{text: []byte(text), from: c.from}
	converted, err := yaml.YAMLToJSON([]byte(check.forYAML()))
	if err != nil {
		return "", false
	}
	again := a.parseJSON(string(converted))
	return text, again != nil && len(again.roots) == 1 && equal(again.roots[0], want)
}

// rewrite is y, which means old, changed where want differs.
func rewrite(y *yaml4.Node, old, want *node) *yaml4.Node {
	if old == want || equal(old, want) {
		return y
	}
	if y.Kind == yaml4.AliasNode {
		y = withoutAliases(y)
	}
	switch {
	case y.Kind == yaml4.MappingNode && old.kind == mappingKind && want.kind == mappingKind && len(want.items) > 0:
		return rewriteMapping(y, old, want)
	case y.Kind == yaml4.SequenceNode && old.kind == sequenceKind && want.kind == sequenceKind && len(want.items) > 0:
		out := *y
		out.Content = nil
		for _, p := range align(old.items, want.items) {
			switch {
			case p.new < 0:
			case p.old < 0:
				out.Content = append(out.Content, toTree(want.items[p.new]))
			default:
				out.Content = append(out.Content, rewrite(y.Content[p.old], old.items[p.old], want.items[p.new]))
			}
		}
		return &out
	}
	out := toTree(want)
	out.HeadComment, out.LineComment, out.FootComment = y.HeadComment, y.LineComment, y.FootComment
	return out
}

func rewriteMapping(y *yaml4.Node, old, want *node) *yaml4.Node {
	out := *y
	out.Content = nil
	entries := want.entries()
	find := finder(entries)
	done := make([]bool, len(entries))
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		was := old.get(keyText(key))
		j := find(i/2, keyText(key))
		switch {
		case key.Value == "<<" && key.Style == 0:
		case j < 0:
			continue
		default:
			done[j] = true
			if was != nil {
				value = rewrite(value, was, entries[j].value)
			}
		}
		out.Content = append(out.Content, key, value)
	}
	for j, e := range entries {
		was := old.get(e.key.text)
		if !done[j] && (was == nil || !equal(was, e.value)) {
			out.Content = append(out.Content, toTree(&node{tag: stringTag, text: e.key.text}), toTree(e.value))
		}
	}
	return &out
}

// keyText is the key as it is in JSON.
func keyText(key *yaml4.Node) string {
	if key.Kind == yaml4.ScalarNode && key.Style == 0 {
		if t, text, ok := resolvePlain(key.Value); ok && t != nullTag {
			return text
		}
	}
	return key.Value
}

// toTree is a value as a tree, in block style.
func toTree(n *node) *yaml4.Node {
	n = n.resolved()
	switch n.kind {
	case mappingKind:
		out := &yaml4.Node{Kind: yaml4.MappingNode, Tag: "!!map"}
		for _, e := range n.entries() {
			out.Content = append(out.Content, toTree(&node{tag: stringTag, text: e.key.text}), toTree(e.value))
		}
		return out
	case sequenceKind:
		out := &yaml4.Node{Kind: yaml4.SequenceNode, Tag: "!!seq"}
		for _, item := range n.items {
			out.Content = append(out.Content, toTree(item))
		}
		return out
	default:
		return scalarTree(n)
	}
}

func scalarTree(n *node) *yaml4.Node {
	out := &yaml4.Node{Kind: yaml4.ScalarNode, Value: n.text}
	switch n.tag {
	case numberTag:
		out.Tag = "!!int"
		if strings.ContainsAny(n.text, ".eE") {
			out.Tag = "!!float"
		}
	case boolTag:
		out.Tag = "!!bool"
	case nullTag:
		out.Tag = "!!null"
	case stringTag:
		out.Tag = "!!str"
		if !plainSafe(n.text) {
			out.Style = yaml4.DoubleQuotedStyle
		}
		if blockText(n.text) {
			out.Style = yaml4.LiteralStyle
		}
	}
	return out
}

// withoutAliases is a copy of a tree in which aliases are replaced by their targets.
func withoutAliases(y *yaml4.Node) *yaml4.Node {
	if y.Kind == yaml4.AliasNode {
		return withoutAliases(y.Alias)
	}
	out := *y
	out.Anchor = ""
	out.Content = slices.Clone(y.Content)
	for i, child := range out.Content {
		out.Content[i] = withoutAliases(child)
	}
	return &out
}
