package config

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// reader reads one text and collects its problems.
type reader struct {
	ps     *problem.List
	source string // the text, as Labels names it
	// templates are the user's own templates: a key that one of them reads has an
	// effect.
	templates map[string]string
	// rendered are the keys of the text "config" that have content.
	rendered []string
}

func newReader(ps *problem.List, label, fallback string) *reader {
	return &reader{ps: ps, source: cmp.Or(label, fallback)}
}

// templatesRead reports that one of the user's own templates has a text, such as
// ".statusPort".
func (r *reader) templatesRead(text string) bool {
	for _, t := range r.templates {
		if strings.Contains(t, text) {
			return true
		}
	}
	return false
}

// load reads the text into a mapping, or nil when there is none.
func (r *reader) load(text string) *document.Node {
	n, found := document.Load(text, maxText)
	for i, p := range found {
		if p.Fix == "" && strings.HasPrefix(p.Rule, "not valid YAML") {
			found[i].Fix = "look for quotes, brackets and indentation there and in the line above"
		}
	}
	r.add(found...)
	if n != nil && n.Kind != document.Map {
		r.error(n, "", "must be a mapping", "use keys and values")
		return nil
	}
	return n
}

// add ineffectiveKeys problems; an unknown key is a warning.
func (r *reader) add(found ...problem.Problem) {
	for _, p := range found {
		if p.Type == problem.TypeUnknown {
			p = p.AsWarning()
		}
		r.ps.Add(p.In(r.source))
	}
}

func (r *reader) error(n *document.Node, path, rule, fix string) {
	r.add(n.Problem(path, rule, fix))
}

func (r *reader) warn(n *document.Node, path, rule, fix string) {
	r.add(n.Problem(path, rule, fix).AsWarning())
}

// text is a string scalar; a number counts as the text it was written as, so
// that tag: 1.30 stays 1.30. Null and absent are "".
func (r *reader) text(n *document.Node, path string) string {
	switch {
	case n == nil || n.Kind == document.Null:
	case n.Kind == document.String || n.Kind == document.Number:
		return n.Text
	case n.Kind == document.Bool:
		r.error(n, path, "must be a string", "put it in quotes")
	default:
		r.error(n, path, "must be a string", "")
	}
	return ""
}

// texts is a list of strings; a single string is split at commas.
func (r *reader) texts(n *document.Node, path string) []string {
	switch {
	case n == nil || n.Kind == document.Null:
		return nil
	case n.Kind != document.List:
		r.error(n, path, "must be a list of strings", "use [one, two]")
		return nil
	}
	out := make([]string, 0, len(n.Items))
	for i, item := range n.Items {
		at := document.Index(path, i)
		if item.Kind == document.Null || item.Kind == document.String && item.Text == "" {
			r.error(item, at, "empty element", "remove it")
			continue
		}
		out = append(out, r.text(item, at))
	}
	return out
}

// oneOf is a text among those allowed; "" may be one of them.
func (r *reader) oneOf(n *document.Node, path string, allowed ...string) string {
	s := r.text(n, path)
	scalar := n != nil && (n.Kind == document.String || n.Kind == document.Number)
	if !scalar || slices.Contains(allowed, s) {
		return s
	}
	shown := slices.DeleteFunc(slices.Clone(allowed), func(a string) bool { return a == "" })
	r.add(n.Locate(problem.NotSupported(path, "", shown...)))
	return ""
}

func (r *reader) boolean(n *document.Node, path string) bool {
	if n == nil || n.Kind == document.Null {
		return false
	}
	if b, ok := n.Value.(bool); ok && n.Kind == document.Bool {
		return b
	}
	if n.Kind == document.String && (n.Text == "true" || n.Text == "false") {
		return n.Text == "true"
	}
	r.error(n, path, "must be true or false", "")
	return false
}

// ineffective warns about a key that has no effect, unless its value is the behavior
// anyway.
func (r *reader) ineffective(f document.Field, path string, n ineffective) {
	v := f.Value
	empty := v.Kind == document.Null || v.Kind == document.List && len(v.Items) == 0 || v.Kind == document.Map && len(v.Fields) == 0
	scalar := v.Kind != document.List && v.Kind != document.Map
	if n.why == "" || empty || scalar && slices.Contains(n.quiet, v.Text) || !scalar && slices.Contains(n.quiet, compact(v)) {
		return
	}
	p := problem.NoEffect(path, "", n.why, n.fix)
	p.Value = v.Quoted()
	r.add(f.Locate(p))
}

// compact is a list or mapping as JSON.
func compact(n *document.Node) string {
	b, err := json.Marshal(n.Any())
	if err != nil {
		return "" // what Any returns always has a JSON form
	}
	return string(b)
}

// onlyUnknown reports that unknown fields are the only problems.
func onlyUnknown(found problem.List) bool {
	return !slices.ContainsFunc(found, func(p problem.Problem) bool { return p.Type != problem.TypeUnknown })
}
