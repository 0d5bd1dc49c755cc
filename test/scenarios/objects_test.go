package scenarios

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// tree is a JSON object; numbers in it are json.Number.
type tree = map[string]any

// object is one object of a stream, as this test finds it: by a table of its
// own, so that a kind forgotten by the product is missed here.
type object struct {
	document int // 1-based
	tree     tree
	// path is that of the pod template; nil for an object without one, empty for
	// a Pod.
	path []string
}

var kinds = map[string][]string{
	"v1 Pod":                                {},
	"v1 ReplicationController":              {"spec", "template"},
	"apps/v1 Deployment":                    {"spec", "template"},
	"apps/v1 ReplicaSet":                    {"spec", "template"},
	"apps/v1 StatefulSet":                   {"spec", "template"},
	"apps/v1 DaemonSet":                     {"spec", "template"},
	"extensions/v1beta1 Deployment":         {"spec", "template"},
	"batch/v1 Job":                          {"spec", "template"},
	"batch/v1 CronJob":                      {"spec", "jobTemplate", "spec", "template"},
	"apps.openshift.io/v1 DeploymentConfig": {"spec", "template"},
	"argoproj.io/v1alpha1 Rollout":          {"spec", "template"},
	"batch/v1beta1 CronJob":                 {"spec", "jobTemplate", "spec", "template"},
	"extensions/v1beta1 DaemonSet":          {"spec", "template"},
	"extensions/v1beta1 ReplicaSet":         {"spec", "template"},
}

// objectsOf reads a stream. Items of Lists are objects of their own.
func objectsOf(t *testing.T, stream string) []object {
	t.Helper()
	var all []object
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(stream)))
	for document := 0; ; {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("split the stream: %v", err)
		}
		raw, err := yaml.YAMLToJSON(text)
		if err != nil {
			t.Fatalf("document %d: %v\n%s", document+1, err, text)
		}
		o, ok := decode(t, raw).(tree)
		if !ok {
			continue // an empty document
		}
		document++
		all = append(all, flatten(o, document)...)
	}
}

func flatten(o tree, document int) []object {
	if items, ok := o["items"].([]any); ok && strings.HasSuffix(fmt.Sprint(o["kind"]), "List") {
		var all []object
		for _, item := range items {
			all = append(all, flatten(item.(tree), document)...)
		}
		return all
	}
	path := kinds[fmt.Sprintf("%v %v", o["apiVersion"], o["kind"])]
	if at(o, "spec", "workloadRef") != nil {
		path = nil // its pod template is another object's
	}
	return []object{{document: document, tree: o, path: path}}
}

func decode(t *testing.T, raw []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %.200s", err, raw)
	}
	return v
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// copied is a deep copy.
func copied(t *testing.T, v tree) tree { return decode(t, encode(t, v)).(tree) }

func at(v tree, path ...string) tree {
	for _, key := range path {
		v, _ = v[key].(tree)
	}
	return v
}

func text(v tree, path ...string) string {
	s, _ := at(v, path[:len(path)-1]...)[path[len(path)-1]].(string)
	return s
}

func (o object) hasPod() bool { return o.path != nil }
func (o object) kind() string { return text(o.tree, "kind") }
func (o object) name() string {
	if name := text(o.tree, "metadata", "name"); name != "" {
		return name
	}
	return text(o.tree, "metadata", "generateName") + "*"
}

// namespace is the object's own, or the scenario's.
func (o object) namespace(s *scenario) string {
	if ns := text(o.tree, "metadata", "namespace"); ns != "" {
		return ns
	}
	return s.options.Namespace
}

// label is how kube-inject calls the object in its messages.
func (o object) label(s *scenario) string {
	name := o.name()
	if ns := o.namespace(s); ns != "" {
		name = ns + "/" + name
	}
	return fmt.Sprintf("document %d (%s %s)", o.document, o.kind(), name)
}

// template is the part of the object that is a pod.
func (o object) template() tree { return at(o.tree, o.path...) }

const (
	statusAnnotation    = "sidecar.istio.io/status"
	overridesAnnotation = "proxy.istio.io/overrides"
)

// The labels by which controllers find their pods.
const (
	templateHash = "pod-template-hash"
	rolloutHash  = "rollouts-pod-template-hash"
	configLabel  = "deploymentconfig"
)

// asCreated is the pod that the API server shows to the webhook: from the
// template, as the controller of the object makes it.
func (o object) asCreated(t *testing.T, s *scenario) tree {
	pod := copied(t, o.template())
	pod["apiVersion"], pod["kind"] = "v1", "Pod"
	if pod["metadata"] == nil {
		pod["metadata"] = tree{}
	}
	metadata, ok := pod["metadata"].(tree)
	if !ok {
		return pod
	}
	metadata["namespace"] = admissionNamespace(o.namespace(s))
	if len(o.path) == 0 {
		return pod
	}
	api, kind, owner := text(o.tree, "apiVersion"), o.kind(), o.name()
	switch kind {
	case "Deployment":
		api, kind, owner = "apps/v1", "ReplicaSet", owner+"-7d9c6b5f4"
		setLabel(metadata, templateHash, "7d9c6b5f4")
	case "Rollout":
		api, kind, owner = "apps/v1", "ReplicaSet", owner+"-5f6d7c8b9"
		setLabel(metadata, rolloutHash, "5f6d7c8b9")
	case "CronJob":
		api, kind, owner = "batch/v1", "Job", owner+"-29384750"
	case "DeploymentConfig":
		setLabel(metadata, configLabel, owner)
		api, kind, owner = "v1", "ReplicationController", owner+"-1"
	}
	metadata["generateName"] = owner + "-"
	metadata["ownerReferences"] = []any{tree{
		"apiVersion": api, "kind": kind, "name": owner, "uid": "5c4f1e0a-8a53-4c0c-9f0a-2f0c6f2a7b11",
		"controller": true, "blockOwnerDeletion": true,
	}}
	return pod
}

func setLabel(metadata tree, name, value string) {
	labels, ok := metadata["labels"].(tree)
	if !ok {
		labels = tree{}
		metadata["labels"] = labels
	}
	labels[name] = value
}

func admissionNamespace(ns string) string {
	if ns == "" {
		return "default"
	}
	return ns
}

// comparable is what both entry points must agree about.
func comparable(t *testing.T, pod tree) tree {
	out := tree{"spec": pod["spec"]}
	m, _ := pod["metadata"].(tree)
	for _, key := range []string{"labels", "annotations"} {
		values, ok := m[key].(tree)
		if !ok {
			continue
		}
		values = maps.Clone(values)
		delete(values, templateHash)
		delete(values, rolloutHash)
		delete(values, configLabel)
		for _, name := range []string{statusAnnotation, overridesAnnotation} {
			if text, ok := values[name].(string); ok && strings.HasPrefix(text, "{") {
				values[name] = canonical(t, text)
			}
		}
		if len(values) > 0 {
			out[key] = values
		}
	}
	return out
}

// canonical is the JSON of an annotation as a value, in which the order of what
// represents a set does not matter: the pods of both entry points differ in the order
// of their keys, and a template may lack metadata, which a pod never does.
func canonical(t *testing.T, text string) any {
	v, ok := decode(t, []byte(text)).(tree)
	if !ok {
		return text
	}
	if added, ok := v["added"].([]any); ok {
		added = slices.DeleteFunc(added, func(path any) bool { return path == "/metadata" })
		v["added"] = added
		slices.SortFunc(added, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	}
	return v
}

// withoutPod is the object with an empty template: what injection leaves alone.
func (o object) withoutPod(t *testing.T) tree {
	c := object{tree: copied(t, o.tree), path: o.path}
	template := c.template()
	delete(template, "spec")
	if m := at(template, "metadata"); m != nil {
		delete(m, "annotations")
		delete(m, "labels")
	}
	if len(at(template, "metadata")) == 0 {
		delete(template, "metadata")
	}
	return c.tree
}
