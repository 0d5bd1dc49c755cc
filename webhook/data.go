package webhook

import (
	"fmt"

	"github.com/tidwall/gjson"
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
