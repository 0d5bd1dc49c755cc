package manifest

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/jsontree"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// fake injects a small sidecar: an init container in front, a container last,
// a volume, an annotation and a label. Pods with the annotation skip: "true" are
// skipped, those with bad: X are rejected.
type fake struct{}

var (
	fakePods = map[*inject.Result][]byte{}
	fakeLock sync.Mutex
)

func (fake) Inject(r inject.Request) (*inject.Result, error) {
	pod := map[string]any{}
	if err := json.Unmarshal(r.Pod, &pod); err != nil {
		return nil, &inject.Error{Code: "invalid_pod", Problems: problem.Of(err)}
	}
	metadata, spec := child(pod, "metadata"), child(pod, "spec")
	annotations, labels := child(metadata, "annotations"), child(metadata, "labels")
	if annotations["skip"] == "true" {
		return &inject.Result{Decision: inject.Decision{Reason: "annotation_false", Sentence: "opted out"}}, nil
	}
	if bad, ok := annotations["bad"]; ok {
		return nil, &inject.Error{Code: "invalid_annotation", Problems: problem.List{
			problem.Invalid("annotation bad", "", fmt.Sprintf("%v is no good", bad), ""), problem.Invalid("annotation bad", "", "worse than that", "")}}
	}
	result := &inject.Result{Decision: inject.Decision{Inject: true, Reason: "policy_enabled"}}
	if annotations["status"] != nil {
		return result, nil
	}
	annotations["status"] = `{"containers":["proxy"]}`
	labels["tls"] = "istio"
	initial := map[string]any{"name": "init", "args": []any{"-p", "15001", "-i", "*", "yes"}}
	spec["initContainers"] = append([]any{initial}, list(spec, "initContainers")...)
	spec["containers"] = append(list(spec, "containers"), map[string]any{
		"name": "proxy", "config": "a: |\n  b\n\nc: d\n", "limits": map[string]any{"cpu": "2", "memory": "1Gi"}})
	spec["volumes"] = append(list(spec, "volumes"), map[string]any{"name": "v", "emptyDir": map[string]any{}})
	data, err := json.Marshal(pod)
	result.Patch = []inject.Operation{{Op: "test"}}
	fakeLock.Lock()
	defer fakeLock.Unlock()
	fakePods[result] = data
	return result, err
}

func child(m map[string]any, key string) map[string]any {
	if v, ok := m[key].(map[string]any); ok {
		return v
	}
	v := map[string]any{}
	m[key] = v
	return v
}

func list(m map[string]any, key string) []any {
	v, _ := m[key].([]any)
	return v
}

func fakeOptions() Options {
	return Options{Injector: fake{}, File: "f.yaml", pod: fakePod}
}

func fakePod(r *inject.Result) *jsontree.Node {
	fakeLock.Lock()
	defer fakeLock.Unlock()
	return jsontree.Parse(string(fakePods[r]))
}
