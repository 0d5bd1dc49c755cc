package config

import (
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
)

// builtin is the tree of defaultValues, built once and never changed. Its
// nodes have no position: no problem is about them.
var builtin = unplaced(func() *document.Node {
	n, found := document.Load(defaultValues, maxText)
	if len(found) > 0 {
		panic("config: the built-in defaults: " + found[0].String()) // a test loads them
	}
	return n
}())

func unplaced(n *document.Node) *document.Node {
	n.Line, n.Column = 0, 0
	for _, item := range n.Items {
		unplaced(item)
	}
	for i := range n.Fields {
		n.Fields[i].Line, n.Fields[i].Column = 0, 0
		unplaced(n.Fields[i].Value)
	}
	return n
}

// overlay lays the user's tree over the defaults, as Helm merges values:
// mappings field by field, everything else replaces. A null in or in place of a
// Kubernetes object removes what the defaults have there (limits: {cpu: null}).
// Any other null is an absent key: YAML reads a section whose keys are all
// commented out as null, and that must not remove the defaults. path is that of
// the two trees. The result shares nodes with both.
func overlay(defaults, user *document.Node, path string) *document.Node {
	switch {
	case user == nil:
		return defaults
	case user.Kind != document.Map:
		return user
	case defaults == nil || defaults.Kind != document.Map:
		defaults = &document.Node{Kind: document.Map}
	}
	out := &document.Node{Line: user.Line, Column: user.Column, Kind: document.Map}
	for _, d := range defaults.Fields {
		u, at := user.Get(d.Name), joined(path, d.Name)
		switch {
		case u == nil:
		case u.Kind != document.Null:
			d.Value = overlay(d.Value, u, at)
		case nullRemoves(at):
			continue
		}
		out.Fields = append(out.Fields, d)
	}
	for _, u := range user.Fields {
		at := joined(path, u.Name)
		if defaults.Get(u.Name) != nil || u.Value.Kind == document.Null && nullRemoves(at) {
			continue
		}
		u.Value = overlay(nil, u.Value, at)
		out.Fields = append(out.Fields, u)
	}
	return out
}

// joined is the path of a key, without the quotes that messages need.
func joined(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// nullRemoves reports that a path is that of a Kubernetes object or of a field of
// one.
func nullRemoves(path string) bool {
	for _, object := range objectPaths {
		if rest, ok := strings.CutPrefix(path, object); ok && (rest == "" || rest[0] == '.') {
			return true
		}
	}
	return false
}

// replace sets the raw value at a path; the parents are mappings, or the text has
// an error anyway.
func replace(raw map[string]any, value any, path ...string) {
	for len(path) > 1 {
		next, ok := raw[path[0]].(map[string]any)
		if !ok {
			return
		}
		raw, path = next, path[1:]
	}
	raw[path[0]] = value
}
