package webhook

import (
	"fmt"
	"net/http"

	"github.com/tidwall/gjson"

	"github.com/outrider-mesh/outrider/validate"
)

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
	name := gjson.GetBytes(r.Object, "metadata.name").String()
	if !h.ConfigMaps.Concerns(r.Namespace, name) {
		return ignored("another_configmap")
	}
	verdict := h.ConfigMaps.Validate(name, dataOf(r))
	v := validation{subject: fmt.Sprintf("ConfigMap %s/%s", r.Namespace, name), problems: verdict.Problems}
	return v.answer(len(verdict.Fields) > 0 && unchanged(r, verdict.Fields...))
}

// textCost is the memory for the texts of a ConfigMap: a byte of YAML takes at most 150,
// and aliases, which a short text can have, 16 MiB for the 100,000 values that they may
// expand to.
func textCost(w weight) int64 { return int64(w.bytes)*150 + 16<<20 }

// dataOf is the content of the ConfigMap of a request.
func dataOf(r *request) validate.Data {
	data := gjson.GetBytes(r.Object, "data")
	d := validate.Data{Keys: keysOf(data), Texts: map[string]string{}, Binary: keysOf(gjson.GetBytes(r.Object, "binaryData"))}
	if data.IsObject() {
		data.ForEach(func(key, value gjson.Result) bool {
			d.Texts[key.String()] = value.String()
			return true
		})
	}
	return d
}

// keysOf are those of an object; none where it is absent.
func keysOf(o gjson.Result) (keys []string) {
	if o.IsObject() {
		o.ForEach(func(key, _ gjson.Result) bool {
			keys = append(keys, key.String())
			return true
		})
	}
	return keys
}
