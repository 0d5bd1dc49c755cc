package ranges

import (
	"encoding/json"
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
)

// described reads the marks of nodes in the output of "kubectl describe".
func (r *reader) described(c chunk) bool {
	known := r.describedObject(c)
	var kubelet, image, provider string
	for i, l := range c.lines {
		l = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(l, "Labels:"), "Annotations:"))
		key, value, ok := strings.Cut(l, ":")
		value = strings.TrimSpace(value)
		switch {
		case !ok && strings.Contains(l, "="):
			label, v, _ := strings.Cut(l, "=")
			r.nodeMarks(nil, &document.Node{Kind: document.Map, Fields: []document.Field{{Name: label, Value: scalar(0, v)}}})
		case key == "k3s.io/node-args" || key == "rke2.io/node-args":
			name, platform := "k3s node-args", "k3s"
			if key == "rke2.io/node-args" {
				name, platform = "RKE2 node-args", "rke2"
			}
			r.signal(platform, "node annotation "+key)
			if json.Valid([]byte(value)) {
				r.nodeArgs(scalar(c.line+i, value), name, key)
				known = true
			}
		case key == "CIDRs" && strings.HasPrefix(c.lines[i], "CIDRs:"):
			r.take(Service, source{"ServiceCIDR", rankServiceCIDR, Complete, false}, found{scalar(c.line+i, value), key})
			known = true
		case key == "Kubelet Version":
			kubelet = value
		case key == "OS Image":
			image = value
		case key == "ProviderID":
			provider = value
		}
	}
	r.versionMarks(kubelet, image, provider, true)
	return known
}

// describedObject reads the output of "kubectl describe" for a kind that kubectl
// has no format of its own for: the object's fields, with their names spelled
// out ("clusterNetwork" is "Cluster Network") and lists without marks.
func (r *reader) describedObject(c chunk) bool {
	root := &document.Node{Kind: document.Map, Line: c.line}
	type level struct {
		indent int
		at     *document.Node
	}
	stack := []level{{-1, root}}
	for i, l := range c.lines {
		text := strings.TrimSpace(l)
		if text == "" {
			continue
		}
		indent := len(l) - len(strings.TrimLeft(l, " "))
		for len(stack) > 1 && stack[len(stack)-1].indent >= indent {
			stack = stack[:len(stack)-1]
		}
		at := stack[len(stack)-1].at
		key, value, ok := strings.Cut(text, ":")
		value = strings.TrimSpace(value)
		switch {
		case !ok || strings.Contains(key, "/") || ok && value != "" && !strings.Contains(text, ": "):
			// An element of a list of texts; an IPv6 range has colons.
			at.Items = append(at.Items, scalar(c.line+i, text))
			if len(at.Fields) == 0 && at != root {
				at.Kind = document.List
			}
		case value == "":
			n := &document.Node{Kind: document.Map, Line: c.line + i}
			at.Fields = append(at.Fields, document.Field{Name: camel(key), Line: c.line + i, Value: n})
			stack = append(stack, level{indent, n})
		default:
			addDescribed(at, camel(key), scalar(c.line+i, value))
		}
	}
	kind, version := root.Get("kind").Str(), root.Get("apiVersion").Str()
	return kind != "" && version != "" && r.kube(kind, apiGroup(version), root, "")
}

// addDescribed adds a field; one that is there already is another element's.
func addDescribed(at *document.Node, name string, value *document.Node) {
	for i := range at.Fields {
		if f := &at.Fields[i]; f.Name == name {
			if f.Value.Kind != document.List {
				f.Value = &document.Node{Kind: document.List, Line: f.Line, Items: []*document.Node{f.Value}}
			}
			f.Value.Items = append(f.Value.Items, value)
			return
		}
	}
	at.Fields = append(at.Fields, document.Field{Name: name, Line: value.Line, Value: value})
}

// camel is the name of a field that was spelled out.
func camel(spelled string) string {
	if spelled == "API Version" {
		return "apiVersion"
	}
	words := strings.ReplaceAll(spelled, " ", "")
	if words == "" {
		return ""
	}
	return strings.ToLower(words[:1]) + words[1:]
}
