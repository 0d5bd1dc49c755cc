package webhook

import (
	"fmt"
	"slices"

	"github.com/tidwall/gjson"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// textCost is the memory for the texts of a ConfigMap: a byte of YAML takes at most 150,
// and aliases, which a short text can have, 16 MiB for the 100,000 values that they may
// expand to.
func textCost(w weight) int64 { return int64(w.bytes)*150 + 16<<20 }

// maxData is the size of a ConfigMap's texts, as the API server's own limit
// (MaxSecretSize), which it checks before it calls a validating webhook.
const maxData = 1 << 20

// dataProblem is that a ConfigMap's texts are larger than any that can be stored.
func dataProblem(data gjson.Result) (rule string) {
	size := 0
	data.ForEach(func(key, value gjson.Result) bool {
		size += len(key.Str) + len(value.Str)
		return true
	})
	if size <= maxData {
		return ""
	}
	return fmt.Sprintf("data of %d bytes exceed the limit of %d for a ConfigMap", size, maxData)
}

// lostTexts are errors about keys that are not read.
func lostTexts(r *request, known []string) problem.List {
	return config.KeyProblems(known, keysOf(gjson.GetBytes(r.Object, "data")), keysOf(gjson.GetBytes(r.Object, "binaryData")))
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

// unread are warnings about keys of a ConfigMap that are not read.
func unread(data gjson.Result, known []string) (warnings problem.List) {
	if !data.IsObject() {
		return nil
	}
	data.ForEach(func(key, _ gjson.Result) bool {
		if name := key.String(); !slices.Contains(known, name) {
			p := problem.Unknown(fmt.Sprintf("data[%q]", problem.Clip(name, 80)), "key, ignored", document.Nearest(name, known))
			warnings.Add(p.AsWarning())
		}
		return true
	})
	return warnings
}
