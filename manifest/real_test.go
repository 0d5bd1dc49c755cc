package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/inject"
)

// The output is what the injector's patch makes of the pod, by an
// independent YAML reader and an independent JSON patch.
func TestRealInjector(t *testing.T) {
	injector := realInjector(t)
	kinds := map[string]string{ // kind -> apiVersion and path of the template
		"Deployment": "apps/v1 spec.template", "StatefulSet": "apps/v1 spec.template", "DaemonSet": "apps/v1 spec.template",
		"ReplicaSet": "apps/v1 spec.template", "ReplicationController": "v1 spec.template", "Job": "batch/v1 spec.template",
		"CronJob": "batch/v1 spec.jobTemplate.spec.template", "DeploymentConfig": "apps.openshift.io/v1 spec.template", "Pod": "v1 ",
	}
	pods := map[string]string{
		"plain":    "metadata:\n  labels:\n    app: sleep\nspec:\n  containers:\n  - name: sleep\n    image: curl # c\n",
		"inits":    "metadata: {labels: {app: sleep}}\nspec:\n  initContainers:\n  # first\n  - name: wait\n    image: x\n  containers:\n  - {name: sleep, image: curl}\n  volumes: []\n",
		"override": "metadata:\n  annotations:\n    traffic.sidecar.istio.io/excludeOutboundIPRanges: 10.0.0.0/8\nspec:\n  containers:\n  - name: istio-proxy\n    image: auto\n    env:\n    - name: A\n      value: b\n  - name: sleep\n    image: curl\n",
		"json":     `{"metadata": {"labels": {"app": "sleep"}}, "spec": {"containers": [{"name": "sleep", "image": "curl", "x-new": [1.0]}]}}` + "\n",
		"skipped":  "metadata:\n  labels:\n    sidecar.istio.io/inject: \"false\"\nspec:\n  containers:\n  - name: sleep\n    image: curl\n",
	}
	for kind, place := range kinds {
		for name, pod := range pods {
			t.Run(kind+"/"+name, func(t *testing.T) {
				version, path, _ := strings.Cut(place, " ")
				in := manifest(kind, version, path, pod)
				out, report, err := transformString(t, in, Options{Injector: injector, File: "f"})
				if err != nil || len(report.Objects) != 1 {
					t.Fatalf("%v %+v\n%s", err, report, in)
				}
				if want := patched(t, injector, in); !sameJSON(t, want, toJSONText(t, out)) {
					t.Errorf("got\n%s\nmeaning %s\nwant    %s", out, toJSONText(t, out), want)
				}
				if (name == "skipped") != (out == in) || report.Objects[0].Changed != (out != in) {
					t.Errorf("changed: %v\n%s", report.Objects[0].Changed, out)
				}
				again, _, err := transformString(t, out, Options{Injector: injector, File: "f"})
				if err != nil || again != out {
					t.Errorf("the second time: %v\n%s", err, again)
				}
			})
		}
	}
}

func manifest(kind, version, path, pod string) string {
	head := fmt.Sprintf("apiVersion: %s\nkind: %s # k\n", version, kind)
	if path == "" {
		if strings.HasPrefix(pod, "{") {
			return fmt.Sprintf(`{"apiVersion": %q, "kind": %q, %s`, version, kind, pod[1:])
		}
		return head + pod
	}
	indent := ""
	for key := range strings.SplitSeq(path, ".") {
		head += indent + key + ":\n"
		indent += "  "
	}
	return head + indent + strings.TrimSuffix(strings.ReplaceAll(pod, "\n", "\n"+indent), indent)
}

func toJSONText(t *testing.T, text string) []byte {
	t.Helper()
	out, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return out
}

// patched applies the injector's patch to the object.
func patched(t *testing.T, injector *inject.Injector, in string) []byte {
	t.Helper()
	// In the order of the document, as the injector quotes user containers.
	object, err := toJSON((&arena{}).parse(in, 0).roots[0], new(int))
	if err != nil || !sameJSON(t, object, toJSONText(t, in)) {
		t.Fatalf("%v %s", err, object)
	}
	template, ok, err := inject.FindTemplate(object)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	result, err := injector.Inject(inject.Request{Pod: template.Pod, Namespace: template.Namespace, Owner: template.Owner})
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(object, &v); err != nil {
		t.Fatal(err)
	}
	for _, op := range result.Patch {
		v = applyOperation(t, v, splitPointer(template.Pointer+op.Path), op)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// applyOperation applies one operation of RFC 6902 at the path below v.
func applyOperation(t *testing.T, v any, path []string, op inject.Operation) any {
	t.Helper()
	if len(path) == 0 {
		var value any
		if err := json.Unmarshal([]byte(op.Value.JSON()), &value); err != nil {
			t.Fatal(err)
		}
		return value
	}
	last := len(path) == 1
	switch at := v.(type) {
	case map[string]any:
		if last && op.Op == "remove" {
			delete(at, path[0])
			return at
		}
		at[path[0]] = applyOperation(t, at[path[0]], path[1:], op)
		return at
	case []any:
		i := len(at)
		if path[0] != "-" {
			i, _ = strconv.Atoi(path[0])
		}
		switch {
		case last && op.Op == "remove":
			return slices.Delete(at, i, i+1)
		case last && op.Op == "add":
			return slices.Insert(at, i, applyOperation(t, nil, nil, op))
		}
		at[i] = applyOperation(t, at[i], path[1:], op)
		return at
	}
	t.Fatalf("operation %+v: nothing at %q", op, path)
	return nil
}

// A large List, a large pod and many documents stay exact and quick.
func TestLarge(t *testing.T) {
	injector := realInjector(t)
	var pod, list bytes.Buffer
	pod.WriteString("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n")
	list.WriteString("apiVersion: v1\nkind: List\nitems:\n")
	for i := range 2000 {
		fmt.Fprintf(&pod, "  - name: c%d\n    image: x\n    env: [{name: A, value: \"%d\"}]\n", i, i)
		if i < 300 {
			fmt.Fprintf(&list, "- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: p%d\n  spec:\n    containers:\n    - name: a # %d\n      image: x\n", i, i)
		}
	}
	for name, in := range map[string]string{"pod": pod.String(), "list": list.String()} {
		out, report, err := transformString(t, in, Options{Injector: injector, File: "f", Workers: 2})
		if err != nil || report.Injected == 0 || report.Injected != len(report.Objects) {
			t.Fatalf("%s: %v", name, err)
		}
		addedLines(t, in, out)
		if !json.Valid(toJSONText(t, out)) {
			t.Error(name)
		}
	}
}
