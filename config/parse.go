package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// maxText is the size of the largest text: a ConfigMap cannot hold more.
const maxText = 1 << 20

// Names of the texts for messages, where the caller gives none.
const (
	labelConfig = `istio-sidecar-injector key "config"`
	labelValues = `istio-sidecar-injector key "values"`
	labelMesh   = `istio key "mesh"`
)

// Parse reads the three texts. The problems are complete and sorted by text,
// line and column; with an error among them there is no Config.
func Parse(t Texts, l Labels) (*Config, problem.List) {
	var ps problem.List
	injection := newReader(&ps, l.Config, labelConfig)
	values := newReader(&ps, l.Values, labelValues)
	mesh := newReader(&ps, l.Mesh, labelMesh)

	c := &Config{}
	c.Values, c.RawValues = values.values(values.load(t.Values))
	c.Injection = injection.injection(injection.load(t.Config), c.Values)
	c.meshText = meshText{mesh.source, mesh.load(t.Mesh)}
	c.Mesh = mesh.mesh(c.meshText.root)

	ps.Sort(injection.source, values.source, mesh.source)
	if ps.HasErrors() {
		return nil, ps
	}
	c.Hash = c.hash()
	return c, ps
}

// Default is the configuration of three empty texts.
func Default() *Config {
	c, ps := Parse(Texts{}, Labels{})
	if c == nil {
		panic("config: the built-in defaults do not parse: " + ps.Err().Error()) // a test parses them
	}
	return c
}

// hash digests a canonical form: JSON with sorted keys of the effective
// configuration. The generated protobuf JSON varies in its spacing, so it is
// read and written again.
func (c *Config) hash() string {
	var mesh any
	if b, err := protojson.Marshal(c.Mesh); err == nil {
		_ = json.Unmarshal(b, &mesh) // what protojson wrote is JSON
	}
	in := c.Injection
	canonical, err := json.Marshal([]any{
		in.Policy, selectorTexts(in.AlwaysInjectSelector), selectorTexts(in.NeverInjectSelector),
		in.InjectedAnnotations, in.DefaultTemplates, in.Templates, in.Aliases,
		c.RawValues, mesh,
	})
	if err != nil {
		panic("config: canonical form: " + err.Error()) // only strings, numbers, lists and maps
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:8])
}

func selectorTexts(ss []Selector) []string {
	var out []string
	for _, s := range ss {
		out = append(out, s.String())
	}
	return out
}

// reader reads one text and collects its problems.
type reader struct {
	ps     *problem.List
	source string // the text, as Labels names it
}

func newReader(ps *problem.List, label, fallback string) *reader {
	return &reader{ps, cmp.Or(label, fallback)}
}

// load reads the text into a mapping, or nil when there is none.
func (r *reader) load(text string) *document.Node {
	n, found := document.Load(text, maxText)
	r.add(found...)
	if n != nil && n.Kind != document.Map {
		r.error(n, "", "must be a mapping", "use keys and values")
		return nil
	}
	return n
}

// add notes problems; an unknown key is a warning.
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
