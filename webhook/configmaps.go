package webhook

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// ConfigMaps says how the two ConfigMaps are judged.
type ConfigMaps struct {
	// Namespace and names are those of the ConfigMaps that are followed.
	Namespace, Injector, Mesh string
	// Labels name the texts in messages.
	Labels config.Labels
	// Check judges the texts as those who follow the ConfigMaps do, with one
	// ConfigMap's texts as they are to be and the other's as they are in force.
	// It is false while that cannot be done yet.
	Check func(edit func(*config.Texts)) (problem.List, bool)
}

// The keys that are read, and those that Istio's own ConfigMaps have beside them.
var (
	injectorKeys = []string{"config", "values"}
	meshKeys     = []string{"mesh", "meshNetworks"}
)

// NewConfigMapHandler is the door that judges edits of the two ConfigMaps, for
// ConfigurationPath: a configuration with an error is refused with all of them.
// It fails open. Otherwise a configuration could not be mended while nobody
// answers, and what follows the ConfigMaps keeps the last good one anyway.
func NewConfigMapHandler(o Options) http.Handler {
	d := newDoor(o, "configuration")
	d.judge, d.failed = d.judgeConfigMap, unjudged
	d.count = o.Metrics.validation
	return d
}

func (d *door) judgeConfigMap(r *request) outcome {
	if r.Resource.Group != "" || r.Resource.Resource != "configmaps" || d.ConfigMaps == nil {
		return ignored("another_resource")
	}
	if reason := unconcerned(r); reason != "" {
		return ignored(reason)
	}
	c, name := d.ConfigMaps, gjson.GetBytes(r.Object, "metadata.name").String()
	data := gjson.GetBytes(r.Object, "data")
	text := func(key string) string { return data.Get(key).String() }
	known, labels := injectorKeys, []string{c.Labels.Config, c.Labels.Values}
	edit := func(t *config.Texts) { t.Config, t.Values = text("config"), text("values") }
	switch {
	case r.Namespace == c.Namespace && name == c.Injector:
	case r.Namespace == c.Namespace && name == c.Mesh:
		known, labels = meshKeys, []string{c.Labels.Mesh}
		edit = func(t *config.Texts) { t.Mesh = text("mesh") }
	default:
		return ignored("another_configmap")
	}
	v := verdict{title: fmt.Sprintf("ConfigMap %s/%s", r.Namespace, name)}
	problems, ready := c.Check(edit)
	if !ready {
		v.warnings = []string{"not checked: this replica of Outrider has just started; its log and the events of the ConfigMap will say what is wrong with it"}
		return v.outcome(false)
	}
	v.add(problems, labels)
	v.warnings = append(v.warnings, unread(data, known)...)
	return v.outcome(unchanged(r, "data.config", "data.values", "data.mesh"))
}

// add takes over problems; warnings about the other ConfigMap are left out, for
// whoever edits this one has heard them.
func (v *verdict) add(problems problem.List, labels []string) {
	for _, p := range problems {
		text := strings.TrimPrefix(p.String(), v.title+", ")
		switch {
		case p.Severity == problem.Error:
			v.errors = append(v.errors, text)
		case slices.Contains(labels, p.Source):
			v.warnings = append(v.warnings, text)
		}
	}
}

// unread warns about keys of a ConfigMap that nobody reads.
func unread(data gjson.Result, known []string) (warnings []string) {
	if !data.IsObject() {
		return nil
	}
	data.ForEach(func(key, _ gjson.Result) bool {
		if name := key.String(); !slices.Contains(known, name) {
			f := document.Field{Name: name}.Unknown(fmt.Sprintf("data[%q]", clip(name, 80)), known)
			f.Rule = "no effect: no such key is read"
			warnings = append(warnings, f.String())
		}
		return true
	})
	return warnings
}
