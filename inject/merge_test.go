package inject

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/outrider-mesh/outrider/internal/jsontree"
)

var testSchema = podSchema()

func mergeText(t *testing.T, pod, patch string) (string, error) {
	t.Helper()
	out, err := merge(jsontree.Parse(pod), jsontree.Parse(patch).Seal(), testSchema)
	if err != nil {
		return "", err
	}
	return out.JSON(), nil
}

func TestMerge(t *testing.T) {
	for _, c := range []struct{ name, pod, patch, want string }{
		{"nothing", `{"spec":{}}`, `{}`, `{"spec":{}}`},
		{"scalar", `{"spec":{"nodeName":"a"}}`, `{"spec":{"nodeName":"b"}}`, `{"spec":{"nodeName":"b"}}`},
		{"null removes", `{"spec":{"nodeName":"a"}}`, `{"spec":{"nodeName":null}}`, `{"spec":{}}`},
		{"null in a new part", `{}`, `{"spec":{"a":null,"b":{"c":null}}}`, `{"spec":{"b":{}}}`},
		{"labels", `{"metadata":{"labels":{"a":"1"}}}`, `{"metadata":{"labels":{"b":"2"}}}`, `{"metadata":{"labels":{"a":"1","b":"2"}}}`},
		{"new container goes last", `{"spec":{"containers":[{"name":"app"}]}}`, `{"spec":{"containers":[{"name":"istio-proxy"}]}}`, `{"spec":{"containers":[{"name":"app"},{"name":"istio-proxy"}]}}`},
		{"known container merges", `{"spec":{"containers":[{"name":"app","image":"i","future":1}]}}`, `{"spec":{"containers":[{"name":"app","tty":true}]}}`, `{"spec":{"containers":[{"name":"app","image":"i","future":1,"tty":true}]}}`},
		{"env by name", `{"spec":{"containers":[{"name":"a","env":[{"name":"X","value":"1"},{"name":"Y","value":"2"}]}]}}`, `{"spec":{"containers":[{"name":"a","env":[{"name":"Y","value":"3"},{"name":"Z","value":"4"}]}]}}`, `{"spec":{"containers":[{"name":"a","env":[{"name":"X","value":"1"},{"name":"Y","value":"3"},{"name":"Z","value":"4"}]}]}}`},
		{"args are replaced", `{"spec":{"containers":[{"name":"a","args":["1","2"]}]}}`, `{"spec":{"containers":[{"name":"a","args":["3"]}]}}`, `{"spec":{"containers":[{"name":"a","args":["3"]}]}}`},
		{"finalizers are a set", `{"metadata":{"finalizers":["a"]}}`, `{"metadata":{"finalizers":["a","b"]}}`, `{"metadata":{"finalizers":["a","b"]}}`},
		{"volume changes its type", `{"spec":{"volumes":[{"name":"v","emptyDir":{}}]}}`, `{"spec":{"volumes":[{"name":"v","configMap":{"name":"c"}}]}}`, `{"spec":{"volumes":[{"name":"v","emptyDir":{},"configMap":{"name":"c"}}]}}`},
		{"zero overrules", `{"spec":{"hostNetwork":true}}`, `{"spec":{"hostNetwork":false}}`, `{"spec":{"hostNetwork":false}}`},
		{"zero is absent", `{"spec":{}}`, `{"spec":{"hostNetwork":false,"hostname":""}}`, `{"spec":{}}`},
		{"$patch delete item", `{"spec":{"containers":[{"name":"a"},{"name":"b"}]}}`, `{"spec":{"containers":[{"name":"a","$patch":"delete"}]}}`, `{"spec":{"containers":[{"name":"b"}]}}`},
		{"$patch replace object", `{"spec":{"securityContext":{"runAsUser":1}}}`, `{"spec":{"securityContext":{"$patch":"replace","fsGroup":2}}}`, `{"spec":{"securityContext":{"fsGroup":2}}}`},
		{"$patch replace list", `{"spec":{"containers":[{"name":"a"}]}}`, `{"spec":{"containers":[{"$patch":"replace"},{"name":"b"}]}}`, `{"spec":{"containers":[{"name":"b"}]}}`},
		{"$patch in a new item", `{"spec":{"containers":[]}}`, `{"spec":{"containers":[{"name":"b","$patch":"merge"}]}}`, `{"spec":{"containers":[{"name":"b"}]}}`},
	} {
		got, err := mergeText(t, c.pod, c.patch)
		if err != nil || got != c.want {
			t.Errorf("%s:\n got %s, %v\nwant %s", c.name, got, err, c.want)
		}
	}
}

func TestMerge_Conflicts(t *testing.T) {
	for _, c := range []struct{ pod, patch, want string }{
		{`{"spec":{"containers":[]}}`, `{"spec":{"containers":{}}}`, "pod.spec.containers: the template has an object"},
		{`{"spec":{"securityContext":{}}}`, `{"spec":{"securityContext":[]}}`, "pod.spec.securityContext: the template has a list"},
		{`{"spec":{"containers":[{"name":"a"}]}}`, `{"spec":{"containers":[{"image":"x"}]}}`, `pod.spec.containers: item 1 of the template: merge key "name" is missing`},
		{`{}`, `{"spec":{"$patch":"remove"}}`, `unknown $patch value "remove"`},
		{`{}`, `{"spec":{"$setElementOrder/containers":[]}}`, "$setElementOrder/containers is not supported"},
		{`{"spec":{"containers":[{"name":"a","env":[{"name":"E"}]}]}}`, `{"spec":{"containers":[{"name":"a","env":[{"value":"x"}]}]}}`, `pod.spec.containers[a].env: item 1`},
	} {
		_, err := mergeText(t, c.pod, c.patch)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %s: %v, want %q", c.pod, c.patch, err, c.want)
		}
	}
}

// TestMergeLikeKubernetes compares with the API server's own implementation on
// random pods and patches.
func TestMergeLikeKubernetes(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for n := range 3000 {
		pod, patch := marshal(t, randomPod(r, false)), marshal(t, randomPod(r, true))
		want, err := strategicpatch.StrategicMergePatch([]byte(pod), []byte(patch), &corev1.Pod{})
		if err != nil {
			t.Fatalf("%d: %s with %s: %v", n, pod, patch, err)
		}
		got, err := mergeText(t, pod, patch)
		if err != nil {
			t.Fatalf("%d: %s with %s: %v", n, pod, patch, err)
		}
		if !reflect.DeepEqual(unordered(t, []byte(got)), unordered(t, want)) {
			t.Fatalf("%d: %s with %s\n got %s\nwant %s", n, pod, patch, got, want)
		}
		again, err := mergeText(t, got, patch)
		if err != nil || !strings.Contains(patch, "$patch") && again != got {
			t.Fatalf("%d: merging twice changes %s to %s, %v", n, got, again, err)
		}
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// randomPod makes the parts of pods that injection meets; a patch has nulls and
// directives besides.
func randomPod(r *rand.Rand, patch bool) map[string]any {
	maybe := func(m map[string]any, key string, value any) {
		switch k := r.IntN(10); {
		case k < 6:
			m[key] = value
		case k == 6 && patch:
			m[key] = nil
		}
	}
	names := func(n int, make func(name string) map[string]any) []any {
		list := []any{}
		for _, i := range r.Perm(n)[:r.IntN(n)] {
			item := make(fmt.Sprintf("n%d", i))
			item["name"] = fmt.Sprintf("n%d", i)
			if patch && r.IntN(6) == 0 {
				item = map[string]any{"name": item["name"], "$patch": "delete"}
			}
			list = append(list, item)
		}
		return list
	}
	text := func() string { return fmt.Sprint("s", r.IntN(3)) }
	container := func(string) map[string]any {
		c := map[string]any{}
		maybe(c, "image", text())
		maybe(c, "args", []any{text(), text()})
		maybe(c, "env", names(3, func(string) map[string]any { return map[string]any{"value": text()} }))
		maybe(c, "securityContext", map[string]any{"runAsUser": r.IntN(3), "capabilities": map[string]any{"add": []any{text()}}})
		maybe(c, "resources", map[string]any{"limits": map[string]any{"cpu": text()}})
		return c
	}
	meta, spec := map[string]any{}, map[string]any{}
	maybe(meta, "labels", map[string]any{text(): text()})
	maybe(meta, "annotations", map[string]any{text(): text()})
	maybe(meta, "finalizers", []any{text()})
	maybe(spec, "containers", names(4, container))
	maybe(spec, "initContainers", names(3, container))
	maybe(spec, "imagePullSecrets", names(3, func(string) map[string]any { return map[string]any{} }))
	maybe(spec, "volumes", names(3, func(string) map[string]any { return map[string]any{"emptyDir": map[string]any{"medium": text()}} }))
	maybe(spec, "securityContext", map[string]any{"fsGroup": r.IntN(9)})
	maybe(spec, "tolerations", []any{map[string]any{"key": text()}})
	maybe(spec, "dnsConfig", map[string]any{"searches": []any{text()}})
	return map[string]any{"metadata": meta, "spec": spec}
}

// unordered decodes JSON with the items of named lists keyed by name: the order
// in which two implementations append is no part of what is compared.
func unordered(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	var walk func(v any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for k, item := range v {
				if v[k] = walk(item); item == nil {
					delete(v, k) // the library leaves nulls in new list items; decoding drops them
				}
			}
			return v
		case []any:
			named := map[string]any{}
			v = slices.DeleteFunc(v, func(item any) bool { // left over by the library in new list items
				m, _ := item.(map[string]any)
				return m["$patch"] == "delete"
			})
			for i, item := range v {
				v[i] = walk(item)
				if m, ok := v[i].(map[string]any); ok && m["name"] != nil {
					named[m["name"].(string)] = m
				}
			}
			if len(v) > 0 && len(named) == len(v) {
				return named
			}
			if len(v) == 2 && fmt.Sprint(v[0]) > fmt.Sprint(v[1]) {
				v[0], v[1] = v[1], v[0] // finalizers; args are compared by TestMerge
			}
			return v
		}
		return v
	}
	return walk(v)
}
