package validate

import (
	"fmt"
	"slices"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// ConfigMaps validates edits of the two ConfigMaps.
type ConfigMaps struct {
	config.Location
	// Labels are the names of the texts in problems.
	Labels config.Labels
	// Check validates the texts as the control plane does, with one ConfigMap's
	// texts edited and the other's as they are active. It is false while the
	// replica is starting.
	Check func(edit func(*config.Texts)) (problem.List, bool)
}

// Data is the content of a ConfigMap.
type Data struct {
	Keys   []string // of data, in their order
	Texts  map[string]string
	Binary []string // the keys of binaryData
}

// Verdict is what is wrong with a ConfigMap. The sources of the problems are its keys, such
// as `key "values"`, with lines and columns of their texts.
type Verdict struct {
	Problems problem.List
	// Fields are those that the problems are about; none: an unchanged ConfigMap has the
	// same problems.
	Fields []string
}

// maxData is the size of a ConfigMap's texts, as the API server's own limit
// (MaxSecretSize), which it checks before it calls a validating webhook.
const maxData = 1 << 20

// Concerns reports whether a ConfigMap is one of the two.
func (c *ConfigMaps) Concerns(namespace, name string) bool {
	return namespace == c.Namespace && c.Keys(name) != nil
}

// Validate validates one of the two ConfigMaps.
func (c *ConfigMaps) Validate(name string, d Data) Verdict {
	if rule := d.tooLarge(); rule != "" {
		return Verdict{Problems: problem.List{problem.Invalid("data", "", rule, "remove comments and templates that are not used")}}
	}
	e := c.edited(name, d)
	found, ready := c.Check(e.change)
	if !ready {
		const starting = "not validated: replica still starting; errors will be reported in an event on the ConfigMap"
		return Verdict{Problems: problem.List{problem.Invalid("", "", starting, "").AsWarning()}}
	}
	v := Verdict{Problems: e.own(found), Fields: []string{"data.config", "data.values", "data.mesh"}}
	if lost := config.KeyProblems(e.known, d.Keys, d.Binary); len(lost) > 0 {
		v.Problems, v.Fields = slices.Concat(lost, v.Problems), []string{"data", "binaryData"}
		return v
	}
	v.Problems.Add(d.unread(e.known)...)
	return v
}

// edit is an edit of one of the two ConfigMaps.
type edit struct {
	known  []string // its keys
	labels []string // the names of the first keys' texts in problems
	change func(*config.Texts)
}

// edited is the edit of a ConfigMap by its new data.
func (c *ConfigMaps) edited(name string, d Data) edit {
	e := edit{known: c.Keys(name), labels: []string{c.Labels.Config, c.Labels.Values}}
	if name == c.Mesh {
		e.labels = []string{c.Labels.Mesh}
	}
	e.change = func(t *config.Texts) { c.Set(t, name, d.Texts) }
	return e
}

// own are the problems, with the key as the source of those in the edited ConfigMap.
// Warnings about the other ConfigMap are omitted: they were returned when that one was
// edited.
func (e edit) own(problems problem.List) (out problem.List) {
	for _, p := range problems {
		key := slices.Index(e.labels, p.Source)
		if key >= 0 {
			p = p.In(keySource(e.known[key]))
		}
		if key >= 0 || p.Severity == problem.Error {
			out.Add(p)
		}
	}
	return out
}

// keySource is the source of the problems of a key's text.
func keySource(key string) string { return fmt.Sprintf("key %q", key) }

// tooLarge is that the texts are larger than any that can be stored.
func (d Data) tooLarge() (rule string) {
	size := 0
	for _, key := range d.Keys {
		size += len(key) + len(d.Texts[key])
	}
	if size <= maxData {
		return ""
	}
	return fmt.Sprintf("data of %d bytes exceed the limit of %d for a ConfigMap", size, maxData)
}

// unread are warnings about keys that are not read.
func (d Data) unread(known []string) (warnings problem.List) {
	for _, name := range d.Keys {
		if !slices.Contains(known, name) {
			p := problem.Unknown(fmt.Sprintf("data[%q]", problem.Clip(name, 80)), "key, ignored", document.Nearest(name, known))
			warnings.Add(p.AsWarning())
		}
	}
	return warnings
}
