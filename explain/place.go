package explain

import (
	"strings"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
)

// Texts are the configuration as its author wrote it, to show lines of it.
type Texts struct {
	config.Texts
	Labels config.Labels // as config.Parse got them
}

// The sources that are no text.
const (
	sourceDefault = "default"
	sourceBuiltIn = "built-in"
	sourceCluster = "cluster"
)

// labelled is a label, or what messages show in its place.
func labelled(label, usual string) string {
	if label == "" {
		return usual
	}
	return label
}

func (t Texts) configSource() string { return labelled(t.Labels.Config, "injection configuration") }
func (t Texts) valuesSource() string { return labelled(t.Labels.Values, "injection values") }
func (t Texts) meshSource() string   { return labelled(t.Labels.Mesh, "mesh configuration") }

// at completes a rule with its place in a text; the rule is that of the default where the
// text does not have the key.
func (r Rule) at(source, text, path string) Rule {
	r.Path = path
	place, ok := config.PlaceOf(text, path)
	if !ok {
		r.Source = sourceDefault
		return r
	}
	r.Source, r.Line = source, place.Line
	return r
}

// place is where a setting is.
func (t Texts) place(s inject.Setting) Rule {
	o := s.Origin()
	switch o.Kind {
	case inject.OriginAnnotation:
		return Rule{Source: "annotation " + o.Name, Path: "metadata.annotations"}
	case inject.OriginContainer:
		return Rule{Source: "container " + o.Name, Path: "spec"}
	case inject.OriginConfig:
		return Rule{}.at(t.configSource(), t.Config, o.Name)
	case inject.OriginValues:
		return Rule{}.at(t.valuesSource(), t.Values, o.Name)
	case inject.OriginMesh:
		return Rule{}.at(t.meshSource(), t.Mesh, o.Name)
	case inject.OriginCluster:
		return Rule{Source: sourceCluster, Path: string(s.Source)}
	}
	return Rule{Source: strings.TrimSpace(string(s.Source))}
}
