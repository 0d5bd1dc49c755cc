package explain

import (
	"strings"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/document"
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

// Manifest is where an object is in a file. The zero value has no lines.
type Manifest struct {
	File  string
	First int            // the line of the file at which the document starts
	Root  *document.Node // the document
	Path  string         // of the object in the document; empty for the document itself
}

// on completes a rule whose path is a field of the object with the file and the line.
func (m Manifest) on(r Rule) Rule { return m.onField(r, r.Path) }

// onField is like on, for a rule with a path of a field above the one that decides.
func (m Manifest) onField(r Rule, path string) Rule {
	if m.Path != "" {
		path = m.Path + "." + path
	}
	if line, _, exact := m.Root.Place(path); exact {
		r.File, r.Line = m.File, m.First-1+line
	}
	return r
}

// annotation is the place of an annotation of the pod.
func (s Subject) annotation(name string) Rule {
	path := s.path("metadata.annotations")
	return s.Manifest.onField(Rule{Source: "annotation " + name, Path: path}, document.Join(path, name))
}

// Place is where a setting is.
func (s Subject) Place(t Texts, e inject.Setting) Rule {
	if o := e.Origin(); o.Kind == inject.OriginAnnotation {
		return s.annotation(o.Name)
	}
	return t.place(e)
}

// place is where a setting is that is no annotation.
func (t Texts) place(s inject.Setting) Rule {
	o := s.Origin()
	switch o.Kind {
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
