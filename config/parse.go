package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/outrider-mesh/outrider/internal/problem"
)

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

	root := injection.load(t.Config)
	values.templates, values.rendered = templateTexts(root), contentKeys(root)
	mesh.templates = values.templates

	c := &Config{}
	c.Values, c.RawValues = values.values(values.load(t.Values))
	c.Injection = injection.injection(root, c.Values)
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
