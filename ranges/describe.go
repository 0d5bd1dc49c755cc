package ranges

import (
	"encoding/json"
	"strings"
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
			r.nodeMarks(nil, &node{shape: mapping, fields: []field{{label, 0, &node{shape: scalar, text: v}}}})
		case key == "k3s.io/node-args" || key == "rke2.io/node-args":
			name, platform := "k3s node-args", "k3s"
			if key == "rke2.io/node-args" {
				name, platform = "RKE2 node-args", "rke2"
			}
			r.signal(platform, "node annotation "+key)
			if json.Valid([]byte(value)) {
				r.nodeArgs(&node{shape: scalar, line: c.line + i, text: value}, name, key)
				known = true
			}
		case key == "CIDRs" && strings.HasPrefix(c.lines[i], "CIDRs:"):
			r.take(Service, source{"ServiceCIDR", rankServiceCIDR, Complete, false}, found{&node{shape: scalar, line: c.line + i, text: value}, key})
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
	root := &node{shape: mapping, line: c.line}
	type level struct {
		indent int
		at     *node
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
			at.items = append(at.items, &node{shape: scalar, line: c.line + i, text: text})
			if len(at.fields) == 0 && at != root {
				at.shape = list
			}
		case value == "":
			n := &node{shape: mapping, line: c.line + i}
			at.fields = append(at.fields, field{camel(key), c.line + i, n})
			stack = append(stack, level{indent, n})
		default:
			addDescribed(at, camel(key), &node{shape: scalar, line: c.line + i, text: value})
		}
	}
	kind, version := root.get("kind").str(), root.get("apiVersion").str()
	return kind != "" && version != "" && r.kube(kind, apiGroup(version), root, "")
}

// addDescribed adds a field; one that is there already is another element's.
func addDescribed(at *node, name string, value *node) {
	for i := range at.fields {
		if f := &at.fields[i]; f.name == name {
			if f.value.shape != list {
				f.value = &node{shape: list, line: f.line, items: []*node{f.value}}
			}
			f.value.items = append(f.value.items, value)
			return
		}
	}
	at.fields = append(at.fields, field{name, value.line, value})
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
