package config

import (
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// wrapper describes the wrapped form of a text: what people paste with the
// mapping that it is in elsewhere, such as the whole ConfigMap, an IstioOperator
// or the values of a chart. Nothing below the wrapper would be read.
type wrapper struct {
	key string // the key of the ConfigMap that has the text
	// known reports that a name is one of the text's own.
	known func(name string) bool
	// content reports that a mapping has the settings of the text.
	content func(n *document.Node) bool
}

var injectionWrapper = wrapper{
	key:     "config",
	known:   func(name string) bool { return slices.Contains(injectionKeys, name) || name == "template" },
	content: func(n *document.Node) bool { return n.HasKey(injectionKeys...) },
}

var valuesWrapper = wrapper{
	key:   "values",
	known: func(name string) bool { return valueKeys.kind[name] != keyUnknown },
	content: func(n *document.Node) bool {
		return n.Get("global").HasKey(valueKeys.children["global"]...)
	},
}

var meshWrapper = wrapper{
	key:   "mesh",
	known: func(name string) bool { return meshField(name) != nil },
	content: func(n *document.Node) bool {
		return slices.ContainsFunc(n.Fields, func(f document.Field) bool { return meshField(f.Name) != nil })
	},
}

// wrapperNames are the names, in lower case, below which a text is looked for even
// if nothing in it has to do with a policy.
var wrapperNames = []string{
	"config", "data", "global", "istio", "istiod", "istio-sidecar-injector", "mesh", "meshconfig", "sidecarinjectorwebhook", "spec", "values",
}

// objectFields are around the content of any Kubernetes object.
var objectFields = []string{"apiVersion", "kind", "metadata", "status"}

// maxWrappers is how deep a text is looked for: data.mesh of a List's item has 4.
const maxWrappers = 5

// unwrap reports each wrapper at the top of a text as an error, and returns the
// text without the wrapper and what else an object has: one problem is reported
// once.
func (r *reader) unwrap(n *document.Node, w wrapper) *document.Node {
	out := *n
	out.Fields = nil
	found := false
	for _, f := range n.Fields {
		name := strings.ToLower(strings.ReplaceAll(f.Name, "_", ""))
		path, ok := "", false
		if !w.known(f.Name) && (slices.Contains(wrapperNames, name) || losesPolicy(f)) {
			path, ok = w.find(f.Value, f.Name, 1)
		}
		if !ok {
			out.Fields = append(out.Fields, f)
			continue
		}
		found = true
		rule := "wrapper around the content of this key: nothing in it is read"
		r.add(f.Locate(problem.Invalid(document.Join("", f.Name), "", rule, "set the key "+problem.Quote(w.key)+" to what is below "+problem.Short(path))))
	}
	if found {
		out.Fields = slices.DeleteFunc(out.Fields, func(f document.Field) bool { return slices.Contains(objectFields, f.Name) })
	}
	return &out
}

// find returns the path of the settings in a mapping, a list, or a text that is
// one of the two.
func (w wrapper) find(n *document.Node, path string, depth int) (string, bool) {
	if depth > maxWrappers {
		return "", false
	}
	if n.Kind == document.String && strings.Contains(n.Text, ":") {
		inner, problems := document.Load(n.Text, maxText)
		if inner == nil || problems.HasErrors() || inner.Kind == document.String {
			return "", false
		}
		n = inner
	}
	if n.Kind == document.Map && w.content(n) {
		return path, true
	}
	for i, item := range n.Items {
		if at, ok := w.find(item, document.Index(path, i), depth+1); ok {
			return at, true
		}
	}
	for _, f := range n.Fields {
		if at, ok := w.find(f.Value, document.Join(path, f.Name), depth+1); ok {
			return at, true
		}
	}
	return "", false
}

// unknownKey reports a field that the text does not have: a warning, unless a
// policy would be lost with it.
func (r *reader) unknownKey(f document.Field, w wrapper, known []string) {
	p := f.Unknown(document.Join("", f.Name), known)
	if losesPolicy(f) {
		p = lostPolicy(p, w.key)
	}
	r.add(p)
}

// lostPolicy is the problem of an unknown field as an error.
func lostPolicy(p problem.Problem, key string) problem.Problem {
	p.Type, p.Severity = problem.TypeInvalid, problem.Error
	p.Rule += ", so the outbound traffic policy in it would not apply"
	switch {
	case key != meshWrapper.key:
		p.Fix = `set outboundTrafficPolicy in ConfigMap istio, key "mesh"`
	case p.Fix == "":
		p.Fix = "set outboundTrafficPolicy.mode at the top level"
	}
	return p
}

// losesPolicy reports that a field, or what is in it, blocks traffic to undeclared
// hosts.
func losesPolicy(f document.Field) bool {
	const blocks = "REGISTRY_ONLY"
	switch n := f.Value; n.Kind {
	case document.String:
		return strings.Contains(n.Text, blocks)
	case document.List:
		return slices.ContainsFunc(n.Items, func(item *document.Node) bool { return losesPolicy(document.Field{Value: item}) })
	case document.Map:
		return slices.ContainsFunc(n.Fields, losesPolicy)
	}
	return false
}
