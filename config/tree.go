package config

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// tree is the merged values while they are read; raw is the same for templates.
type tree struct {
	r    *reader
	root *document.Node
	raw  map[string]any
}

// at is the value at a path; nil when absent or null.
func (t tree) at(path string) *document.Node {
	n := t.root
	for _, name := range strings.Split(path, ".") {
		if n = n.Get(name); n == nil || n.Kind == document.Null {
			return nil
		}
	}
	return n
}

func (t tree) text(path string) string { return t.r.text(t.at(path), path) }

func (t tree) boolean(path string) bool { return t.r.boolean(t.at(path), path) }

// parsed is a string that a parser of annotation/ accepts; empty is absent.
func (t tree) parsed(path string, parse func(string) (string, error)) string {
	n := t.at(path)
	s := t.r.text(n, path)
	if s == "" {
		return ""
	}
	out, err := parse(s)
	t.found(n, path, err)
	return out
}

// filled is parsed for a key that must not be empty.
func (t tree) filled(path string, parse func(string) (string, error)) string {
	if n := t.at(path); n != nil && n.Kind == document.String && n.Text == "" {
		t.r.error(n, path, "must not be empty", "remove the key for the default")
		return ""
	}
	return t.parsed(path, parse)
}

// found notes the problems of a parser, at the value's place.
func (t tree) found(n *document.Node, path string, err error) {
	for _, p := range problem.Of(err) {
		t.r.add(n.Locate(p.At(path)))
	}
}

func (t tree) oneOf(path string, allowed ...string) string {
	return t.r.oneOf(t.at(path), path, allowed...)
}

func (t tree) label(path string) string {
	s := t.text(path)
	if s == "" {
		return ""
	}
	if bad := validation.IsDNS1123Label(s); len(bad) > 0 {
		t.r.error(t.at(path), path, "invalid name: "+bad[0], "")
	}
	return s
}

func (t tree) domain(path string) string {
	return t.filled(path, func(s string) (string, error) {
		if bad := validation.IsDNS1123Subdomain(s); len(bad) > 0 {
			return "", problem.Invalid("", "", "invalid domain name: "+bad[0], "")
		}
		return s, nil
	})
}

// tag keeps the text of a number (1.30 is not 1.3), for templates too.
func (t tree) tag(path string) string {
	n := t.at(path)
	s := t.r.text(n, path)
	if n != nil && n.Kind == document.Number {
		replace(t.raw, s, strings.Split(path, ".")...)
	}
	ok := len(s) <= 128
	for i, r := range s {
		word := r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		ok = ok && (word || i > 0 && (r == '.' || r == '-'))
	}
	if !ok {
		t.r.error(n, path, "invalid image tag", "use at most 128 letters, digits, dots, dashes and underscores")
	}
	return s
}

func (t tree) image(path string) string {
	if n := t.at(path); n != nil && n.Kind == document.String && n.Text == "" {
		_, err := annotation.ParseImage("")
		t.found(n, path, err)
		return ""
	}
	return t.parsed(path, annotation.ParseImage)
}

func (t tree) number(path string, least, most int64) int32 {
	n := t.at(path)
	if n == nil {
		return 0
	}
	i, ok := n.Value.(int64)
	if !ok || i < least || i > most {
		t.r.add(n.Locate(problem.OutOfRange(path, "", "", least, most)))
		return 0
	}
	return int32(i)
}

// joined is a comma-separated list, given as one string or as a list of strings.
// Raw values get the normal form, because templates print them.
func (t tree) joined(path string) (n *document.Node, text string) {
	n = t.at(path)
	if n == nil || n.Kind != document.List {
		return n, t.r.text(n, path)
	}
	return n, strings.Join(t.r.texts(n, path), ",")
}

func (t tree) ranges(path string, o cidr.Options) cidr.List {
	n, text := t.joined(path)
	list, err := cidr.Parse(text, o)
	if err != nil {
		t.elements(n, path, err)
		return cidr.List{}
	}
	replace(t.raw, list.String(), strings.Split(path, ".")...)
	return list
}

func (t tree) ports(path string) cidr.Ports {
	n, text := t.joined(path)
	list, err := cidr.ParsePorts(text, false)
	if err != nil {
		t.elements(n, path, err)
		return cidr.Ports{}
	}
	replace(t.raw, list.String(), strings.Split(path, ".")...)
	return list
}

func (t tree) interfaces(path string) []string {
	n, text := t.joined(path)
	list, err := annotation.ParseInterfaces(text)
	t.found(n, path, err)
	replace(t.raw, strings.Join(list, ","), strings.Split(path, ".")...)
	return list
}

// elements reports each bad element of a list, at its own place where the
// list is one of YAML.
func (t tree) elements(n *document.Node, path string, err error) {
	for _, p := range problem.Of(err) {
		at, where := n, path
		for i, item := range n.Items {
			if slices.ContainsFunc(cidr.Elements(item.Text), func(e string) bool { return problem.Quote(e) == p.Value }) {
				at, where = item, document.Index(path, i)
				break
			}
		}
		t.r.add(at.Locate(p.At(where)))
	}
}

func (t tree) pullSecrets(path string) []string {
	n := t.at(path)
	if n != nil && n.Kind == document.List {
		for i, item := range n.Items {
			if item.Kind == document.Map {
				t.r.error(item, document.Index(path, i), "must be a string", "use the name of the Secret")
				return nil
			}
		}
	}
	names := t.r.texts(n, path)
	for i, name := range names {
		if bad := validation.IsDNS1123Subdomain(name); name != "" && len(bad) > 0 {
			t.r.error(n, document.Index(path, i), "invalid Secret name "+problem.Quote(name)+": "+bad[0], "")
		}
	}
	return names
}

// object reads a Kubernetes object; nil when it is absent or empty.
func object[T any](t tree, path string) *T {
	n := t.at(path)
	if n == nil || n.Kind == document.Map && len(n.Fields) == 0 {
		return nil
	}
	out := new(T)
	found := document.Object(n, path, out)
	t.r.add(found...)
	if !onlyUnknown(found) {
		return nil
	}
	return out
}

func (t tree) resources(path string) *corev1.ResourceRequirements {
	out := object[corev1.ResourceRequirements](t, path)
	if out == nil {
		return nil
	}
	n := t.at(path)
	for _, kind := range []struct {
		name string
		list corev1.ResourceList
	}{{"requests", out.Requests}, {"limits", out.Limits}} {
		fields := n.Get(kind.name)
		if fields == nil {
			continue
		}
		for _, f := range fields.Fields {
			at := path + "." + kind.name + "." + f.Name
			q := kind.list[corev1.ResourceName(f.Name)]
			limit, limited := out.Limits[corev1.ResourceName(f.Name)]
			switch {
			case q.Sign() < 0:
				t.r.error(f.Value, at, "must not be negative", document.QuantityFix)
			case kind.name == "requests" && limited && q.Cmp(limit) > 0:
				place := f.Value
				if place.Line == 0 { // the request is a default; the limit is not
					place = n.Get("limits").Get(f.Name)
				}
				t.r.error(place, at, fmt.Sprintf("the request %s exceeds the limit %s", q.String(), limit.String()), "raise the limit, or lower the request")
			}
		}
	}
	return out
}

func (t tree) lifecycle(path string) *corev1.Lifecycle {
	return object[corev1.Lifecycle](t, path)
}

func (t tree) seccomp(path string) *corev1.SeccompProfile {
	out := object[corev1.SeccompProfile](t, path)
	if out == nil {
		return nil
	}
	n := t.at(path)
	local := out.LocalhostProfile != nil && *out.LocalhostProfile != ""
	switch out.Type {
	case corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined:
		if local {
			t.r.error(n, path, "localhostProfile requires type Localhost", "remove it")
		}
	case corev1.SeccompProfileTypeLocalhost:
		if !local {
			t.r.error(n, path, "type Localhost requires localhostProfile", "")
		}
	default:
		t.r.error(n, path, "type must be RuntimeDefault, Localhost or Unconfined", "")
	}
	return out
}
