package scenarios

import (
	"encoding/json"
	"fmt"
	"testing"
)

// podStatus is the status annotation, as far as these tests look at it.
type podStatus struct {
	InitContainers, Containers, Volumes, Templates []string
	Effective                                      map[string]struct{ Value, Source string }
}

// statusOf reads a pod's status annotation.
func statusOf(t *testing.T, pod tree) (s podStatus, ok bool) {
	t.Helper()
	annotation := text(pod, "metadata", "annotations", statusAnnotation)
	if annotation == "" {
		return s, false
	}
	if err := json.Unmarshal([]byte(annotation), &s); err != nil {
		t.Errorf("status annotation: %v: %s", err, annotation)
		return s, false
	}
	return s, true
}

// containers are the items of a list of the pod's spec.
func containers(pod tree, list string) []tree {
	items, _ := at(pod, "spec")[list].([]any)
	var out []tree
	for _, item := range items {
		if c, ok := item.(tree); ok {
			out = append(out, c)
		}
	}
	return out
}

func asText(v any) string { return fmt.Sprint(v) }
