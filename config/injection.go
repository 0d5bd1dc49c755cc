package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// versionMismatch is in the value of the key "template" of Istio's own ConfigMap:
// text that makes injectors before 1.9 fail. It has no other meaning.
const versionMismatch = "Template_Version_And_Istio_Version_Mismatched"

// maxTemplates is the number of templates in a configuration: each is compiled with
// functions of its own, in 100 µs. Istio's ConfigMap has 8.
const maxTemplates = 100

var injectionKeys = []string{
	"policy", "alwaysInjectSelector", "neverInjectSelector", "injectedAnnotations",
	"defaultTemplates", "templates", "aliases",
}

// injection reads the key "config". Without a policy there, the values' is used.
func (r *reader) injection(n *document.Node, v *Values) Injection {
	in := defaultInjection()
	in.Source = r.source
	if v != nil && v.Global.Proxy.AutoInject == policyDisabled {
		in.Policy = policyDisabled
	}
	if n == nil {
		return in
	}
	n = r.unwrap(n, injectionWrapper)
	for _, f := range n.Fields {
		switch f.Name {
		case "policy":
			if p := r.oneOf(f.Value, f.Name, policyEnabled, policyDisabled); p != "" {
				in.Policy = p
			}
		case "alwaysInjectSelector":
			in.AlwaysInjectSelector = r.selectors(f.Value, f.Name)
		case "neverInjectSelector":
			in.NeverInjectSelector = r.selectors(f.Value, f.Name)
		case "injectedAnnotations":
			in.InjectedAnnotations = r.stringMap(f.Value, f.Name)
			r.annotationNames(f.Value)
		case "templates":
			in.Templates = r.stringMap(f.Value, f.Name)
			in.Places = places(f.Value)
			r.emptyTemplates(f.Value, f.Name)
			if n := len(in.Templates); n > maxTemplates {
				r.error(f.Value, f.Name, fmt.Sprintf("%d templates exceed the limit of %d", n, maxTemplates), "remove those that no pod requests")
			}
		case "defaultTemplates":
			// An empty list is an absent one, as in Istio: pods would get nothing.
			if names := r.texts(f.Value, f.Name); len(names) > 0 {
				in.DefaultTemplates, in.DefaultTemplatesGiven = names, true
			}
		case "aliases":
			in.Aliases = r.aliases(f.Value)
		case "template":
			r.singular(f)
		default:
			r.unknownKey(f, injectionWrapper, injectionKeys)
		}
	}
	r.templateNames(n, in)
	return in
}

// places are the positions of a mapping's fields.
func places(n *document.Node) map[string]Place {
	out := map[string]Place{}
	for _, f := range n.Fields {
		out[f.Name] = Place{f.Line, f.Column}
	}
	return out
}

// contentKeys are the fields of a mapping that are not empty.
func contentKeys(n *document.Node) (names []string) {
	if n == nil {
		return nil
	}
	for _, f := range n.Fields {
		if len(f.Value.Fields)+len(f.Value.Items) > 0 {
			names = append(names, f.Name)
		}
	}
	return names
}

// templateTexts are the user's own templates.
func templateTexts(n *document.Node) map[string]string {
	out := map[string]string{}
	if templates := n.Get("templates"); templates != nil {
		for _, f := range templates.Fields {
			out[f.Name] = f.Value.Str()
		}
	}
	return out
}

// singular is the key "template" of Istio before 1.9.
func (r *reader) singular(f document.Field) {
	if f.Value.Kind == document.Null || strings.Contains(f.Value.Text, versionMismatch) {
		return
	}
	r.add(f.Locate(problem.Invalid(f.Name, "", `top-level "template" is no longer supported`, `move it to templates, with the name "sidecar"`)))
}

func (r *reader) selectors(n *document.Node, path string) []Selector {
	switch n.Kind {
	case document.Null:
		return nil
	case document.List:
	default:
		r.error(n, path, "must be a list of label selectors", "use - matchLabels: {key: value}")
		return nil
	}
	var out []Selector
	for i, item := range n.Items {
		at := document.Index(path, i)
		var spec metav1.LabelSelector
		found := document.Object(item, at, &spec)
		r.add(found...)
		if len(found) > 0 && !onlyUnknown(found) {
			continue
		}
		s, err := NewSelector(spec)
		if err != nil {
			r.error(item, at, "invalid label selector: "+problem.Short(err.Error()), "use matchLabels: {key: value}, or matchExpressions with the operator In, NotIn, Exists or DoesNotExist")
			continue
		}
		if s.compiled == nil {
			r.warn(item, at, "empty selector matches no pod", "remove it, or specify labels")
		}
		out = append(out, s)
	}
	return out
}

// stringMap is a mapping from name to string; other scalars are errors, as
// their text after YAML's reading may not be what was written.
func (r *reader) stringMap(n *document.Node, path string) map[string]string {
	switch n.Kind {
	case document.Null:
		return nil
	case document.Map:
	default:
		r.error(n, path, "must be a mapping of strings", "")
		return nil
	}
	out := make(map[string]string, len(n.Fields))
	for _, f := range n.Fields {
		if f.Value.Kind != document.String {
			r.error(f.Value, document.Join(path, f.Name), "must be a string", "put it in quotes")
			continue
		}
		out[f.Name] = f.Value.Text
	}
	return out
}

// emptyTemplates warns about templates whose text was lost or commented out.
func (r *reader) emptyTemplates(n *document.Node, path string) {
	for _, f := range n.Fields {
		if f.Value.Kind != document.String || strings.TrimSpace(f.Value.Text) != "" {
			continue
		}
		rule := "empty: it adds nothing to a pod"
		if f.Name == BuiltinTemplate {
			rule = "empty: it replaces the built-in template, so pods get no sidecar"
		}
		r.warn(f.Value, document.Join(path, f.Name), rule, "set its text, or remove it")
	}
}

func (r *reader) annotationNames(n *document.Node) {
	for _, f := range n.Fields {
		if bad := validation.IsQualifiedName(strings.ToLower(f.Name)); len(bad) > 0 {
			r.add(f.Locate(problem.Invalid("injectedAnnotations", f.Name, "invalid annotation key: "+problem.Short(bad[0]), "")))
		}
	}
}

func (r *reader) aliases(n *document.Node) map[string][]string {
	if n.Kind == document.Null {
		return nil
	}
	if n.Kind != document.Map {
		r.error(n, "aliases", "must be a mapping from alias to a list of templates", "")
		return nil
	}
	out := make(map[string][]string, len(n.Fields))
	for _, f := range n.Fields {
		at := document.Join("aliases", f.Name)
		if out[f.Name] = r.texts(f.Value, at); f.Value.Kind == document.Null || f.Value.Kind == document.List && len(f.Value.Items) == 0 {
			r.error(f.Value, at, "lists no templates", "list them, or remove the alias")
		}
	}
	return out
}

// templateNames checks that defaultTemplates and aliases list existing templates.
func (r *reader) templateNames(n *document.Node, in Injection) {
	templates := append(slices.Sorted(maps.Keys(in.Templates)), BuiltinTemplate)
	any := append(slices.Sorted(maps.Keys(in.Aliases)), templates...)
	check := func(list *document.Node, path string, known []string, what string) {
		if list == nil || list.Kind != document.List {
			return
		}
		for i, item := range list.Items {
			if item.Text == "" || slices.Contains(known, item.Text) {
				continue
			}
			fix := "define it in templates"
			if near := document.Nearest(item.Text, known); near != "" {
				fix = "did you mean " + problem.Quote(near) + "?"
			}
			r.error(item, document.Index(path, i), what, fix)
		}
	}
	check(n.Get("defaultTemplates"), "defaultTemplates", any, "unknown template or alias")
	if aliases := n.Get("aliases"); aliases != nil {
		for _, f := range aliases.Fields {
			check(f.Value, document.Join("aliases", f.Name), templates, "unknown template; aliases may only list templates")
		}
	}
}
