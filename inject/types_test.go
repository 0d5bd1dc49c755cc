package inject

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/outrider-mesh/outrider/internal/jsontree"

	corev1 "k8s.io/api/core/v1"
	kjson "sigs.k8s.io/json"
)

const manyTypes = `{"metadata":{"name":"a","labels":{"a":"b"},"creationTimestamp":"2026-01-01T00:00:00Z","generation":1,"finalizers":["x"]},
"spec":{"hostNetwork":false,"priority":5,"nodeSelector":{"a":"b"},"overhead":{"cpu":"1"},"activeDeadlineSeconds":10,
"containers":[{"name":"a","args":["x"],"env":[{"name":"A","value":"b"}],"ports":[{"containerPort":80,"protocol":"TCP"}],
"resources":{"limits":{"cpu":1,"memory":"1Gi"}},"livenessProbe":{"httpGet":{"port":80,"path":"/"},"periodSeconds":3},"unknown":{"a":1}}],
"volumes":[{"name":"v","emptyDir":{"sizeLimit":"1Mi"}}],"tolerations":[{"tolerationSeconds":3}],"securityContext":{"runAsUser":1,"supplementalGroups":[1]}},
"status":{"startTime":"2026-01-01T00:00:00Z","podIPs":[{"ip":"::1"}]}}`

// TestTypeFaultsAgreeWithTheDecoder is a property: a pod has values of the wrong type if
// and only if the decoder rejects it, and it rejects each of them alone.
func TestTypeFaultsAgreeWithTheDecoder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var values []json.RawMessage
	if err := json.Unmarshal([]byte(`["text", "5", "", 5, 0, -1, 1.5, 1e30, 5000000000, true, false, null, [], ["a"], [5], {}, {"a":"b"}, {"a":5}]`), &values); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for range 5000 {
		var pod any
		if err := json.Unmarshal([]byte(manyTypes), &pod); err != nil {
			t.Fatal(err)
		}
		for range 1 + r.IntN(2) {
			var by any
			if err := json.Unmarshal(values[r.IntN(len(values))], &by); err != nil {
				t.Fatal(err)
			}
			pod = replaced(r, pod, by)
		}
		if _, ok := pod.(map[string]any); !ok {
			continue
		}
		text, _ := json.Marshal(pod)
		err := kjson.UnmarshalCaseSensitivePreserveInts(text, &corev1.Pod{})
		faults := typeFaults(jsontree.Parse(string(text)), reflect.TypeFor[corev1.Pod](), "v1 Pod", "pod")
		if (err == nil) != (len(faults) == 0) {
			t.Fatalf("the decoder: %v; faults: %v\n%s", err, faults, text)
		}
		if err != nil {
			refused++
		}
	}
	if refused < 1000 {
		t.Errorf("only %d pods were refused", refused)
	}
}

// replaced is v with some value in it replaced.
func replaced(r *rand.Rand, v, by any) any {
	switch v := v.(type) {
	case map[string]any:
		if len(v) > 0 && r.IntN(8) > 0 {
			keys := sortedAny(v)
			key := keys[r.IntN(len(keys))]
			v[key] = replaced(r, v[key], by)
			return v
		}
	case []any:
		if len(v) > 0 && r.IntN(8) > 0 {
			i := r.IntN(len(v))
			v[i] = replaced(r, v[i], by)
			return v
		}
	}
	return by
}

func sortedAny(m map[string]any) []string {
	keys := map[string]string{}
	for k := range m {
		keys[k] = fmt.Sprint(k)
	}
	return sortedKeys(keys)
}
