package config

import (
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
// mappings field by field, everything else replaces. A null removes a
// default that is a mapping (resources: null means none), and any other default
// stays. The result shares nodes with both.
func overlay(defaults, user *document.Node) *document.Node {
	switch {
	case user == nil:
		return defaults
	case defaults == nil:
		return user
	case user.Kind != document.Map || defaults.Kind != document.Map:
		return user
	}
	out := &document.Node{Line: user.Line, Column: user.Column, Kind: document.Map}
	for _, d := range defaults.Fields {
		u := user.Get(d.Name)
		switch {
		case u == nil:
		case u.Kind != document.Null:
			d.Value = overlay(d.Value, u)
		case d.Value.Kind == document.Map:
			continue
		}
		out.Fields = append(out.Fields, d)
	}
	for _, u := range user.Fields {
		if defaults.Get(u.Name) == nil {
			out.Fields = append(out.Fields, u)
		}
	}
	return out
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
