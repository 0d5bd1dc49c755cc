package webhook

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/tidwall/gjson"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// ConfigMaps configures the validation of the two ConfigMaps.
type ConfigMaps struct {
	// Namespace and names are those of the watched ConfigMaps.
	Namespace, Injector, Mesh string
	// Labels are the names of the texts in problems.
	Labels config.Labels
	// Check validates the texts as the control plane does, with one ConfigMap's
	// texts edited and the other's as they are active. It is false while the
	// replica is starting.
	Check func(edit func(*config.Texts)) (problem.List, bool)
}

// NewConfigMapHandler validates edits of the two ConfigMaps, for
// ConfigurationPath: a configuration with errors is denied with all of them.
// It fails open. Otherwise a configuration could not be fixed while no replica is
// available, and the control plane keeps the last good one anyway.
func NewConfigMapHandler(o Options) http.Handler {
	h := newHandler(o, "configuration")
	h.decide, h.panicked = h.validateConfigMap, unvalidated
	h.count, h.extra, h.validation = o.Metrics.validation, textCost, true
	return h
}

func (h *handler) validateConfigMap(r *request) answer {
	if r.Resource.Group != "" || r.Resource.Resource != "configmaps" || h.ConfigMaps == nil {
		return ignored("another_resource")
	}
	if reason := skipReason(r); reason != "" {
		return ignored(reason)
	}
	name, data := gjson.GetBytes(r.Object, "metadata.name").String(), gjson.GetBytes(r.Object, "data")
	e, ok := h.ConfigMaps.edited(r.Namespace, name, data)
	if !ok {
		return ignored("another_configmap")
	}
	v := validation{subject: fmt.Sprintf("ConfigMap %s/%s", r.Namespace, name)}
	if rule := dataProblem(data); rule != "" {
		v.problems.Add(problem.Invalid("data", "", rule, "remove comments and templates that are not used"))
		return v.answer(false)
	}
	problems, ready := h.ConfigMaps.Check(e.change)
	if !ready {
		v.problems.Add(warning("not validated: replica still starting; errors will be reported in an event on the ConfigMap"))
		return v.answer(false)
	}
	v.addConfiguration(problems, e)
	if lost := lostTexts(r, e.known); len(lost) > 0 {
		v.problems = slices.Concat(lost, v.problems)
		return v.answer(unchanged(r, "data", "binaryData"))
	}
	v.problems.Add(unread(data, e.known)...)
	return v.answer(unchanged(r, "data.config", "data.values", "data.mesh"))
}

// edit is an edit of one of the two ConfigMaps.
type edit struct {
	known  []string // its keys
	labels []string // the names of the first keys' texts in problems
	change func(*config.Texts)
}

// edited is the edit of the ConfigMap by its new data; false for another ConfigMap.
func (c *ConfigMaps) edited(namespace, name string, data gjson.Result) (edit, bool) {
	l := config.Location{Namespace: c.Namespace, Injector: c.Injector, Mesh: c.Mesh}
	e := edit{known: l.Keys(name), labels: []string{c.Labels.Config, c.Labels.Values}}
	if namespace != c.Namespace || e.known == nil {
		return edit{}, false
	}
	if name == c.Mesh {
		e.labels = []string{c.Labels.Mesh}
	}
	texts := map[string]string{}
	for _, key := range e.known {
		texts[key] = data.Get(key).String()
	}
	e.change = func(t *config.Texts) { l.Set(t, name, texts) }
	return e, true
}

// addConfiguration adds problems, with the key as the source of those in the
// edited ConfigMap, which the subject names. Warnings about the other ConfigMap
// are omitted: they were returned when that one was edited.
func (v *validation) addConfiguration(problems problem.List, e edit) {
	for _, p := range problems {
		key := slices.Index(e.labels, p.Source)
		if key >= 0 {
			p = p.In(fmt.Sprintf("key %q", e.known[key]))
		}
		if key >= 0 || p.Severity == problem.Error {
			v.problems.Add(p)
		}
	}
}
