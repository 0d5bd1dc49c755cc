package inject

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/config"
)

// TestOrderOfContainers: the user's containers keep their order, whichever of them a
// template changes, and the proxy is where Istio puts it, by the list that it is in.
func TestOrderOfContainers(t *testing.T) {
	const (
		native  = "initContainers: [{name: istio-init, image: i}, {name: istio-proxy, image: p, restartPolicy: Always}]"
		waits   = "initContainers: [{name: istio-init, image: i, args: [-i, '*', --wait-for-proxy]}, {name: istio-proxy, image: p, restartPolicy: Always}]"
		classic = "initContainers: [{name: istio-init, image: i}], containers: [{name: istio-proxy, image: p}]"
	)
	for _, c := range []struct {
		name, first, second string // the specs of two templates
		spec                string // of the pod: containers and init containers
		classic, hold       bool
		want                string
	}{
		{"the first of two", native, "containers: [{name: a, env: [{name: X, value: x}]}]", "a b", false, false, "istio-init istio-proxy | a b"},
		{"the last of three", native, "containers: [{name: c, tty: true}]", "a b c", false, false, "istio-init istio-proxy | a b c"},
		{"all, turned round", native, "containers: [{name: b, tty: true}, {name: a, tty: true}]", "a b", false, false, "istio-init istio-proxy | a b"},
		{"one, and a new one", native, "containers: [{name: new, image: n}, {name: b, tty: true}]", "a b c", false, false, "istio-init istio-proxy | a b c new"},
		{"an init container", native, "initContainers: [{name: x, tty: true}]", "a / x y", false, false, "istio-init istio-proxy x y | a"},
		{"an init container, and the redirect waits", waits, "initContainers: [{name: x, tty: true}]", "a / x y", false, false, "istio-proxy istio-init x y | a"},
		{"the redirect waits, written out", strings.Replace(waits, "proxy]", "proxy=true]", 1), "metadata: {}", "a / x", false, false, "istio-proxy istio-init x | a"},
		{"the redirect does not wait", strings.Replace(waits, "proxy]", "proxy=false]", 1), "metadata: {}", "a / x", false, false, "istio-init istio-proxy x | a"},
		{"own containers, and the redirect waits", waits, "metadata: {}", "a istio-proxy / x istio-init", false, false, "istio-proxy istio-init x | a"},
		{"the redirect waits, beside classic sidecars", waits, "metadata: {}", "a / x", true, false, "istio-proxy istio-init x | a"},
		{"an init container, classic", classic, "initContainers: [{name: x, tty: true}]", "a / x y", true, false, "x y istio-init | a istio-proxy"},
		{"classic", classic, "containers: [{name: a, tty: true}]", "a b", true, false, "istio-init | a b istio-proxy"},
		{"classic, held", classic, "containers: [{name: b, tty: true}]", "a b", true, true, "istio-init | istio-proxy a b"},
		{"own sidecar first", native, "containers: [{name: a, tty: true}]", "istio-proxy a b", false, false, "istio-init istio-proxy | a b"},
		{"own sidecar first, classic", classic, "metadata: {}", "istio-proxy a b", true, false, "istio-init | a b istio-proxy"},
		{"a classic template beside native sidecars", classic, "containers: [{name: a, tty: true}]", "a b / x", false, false, "x istio-init | a b istio-proxy"},
		{"own sidecar first, a classic template", classic, "metadata: {}", "istio-proxy a", false, false, "istio-init | a istio-proxy"},
		{"a classic template, held", classic, "metadata: {}", "a b", false, true, "istio-init | istio-proxy a b"},
		{"a native template beside classic sidecars", native, "containers: [{name: a, tty: true}]", "a b / x", true, false, "istio-init istio-proxy x | a b"},
		{"no proxy", "initContainers: [{name: istio-init, image: i}]", "containers: [{name: a, tty: true}]", "a b / x", false, false, "x istio-init | a b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			second := c.second
			if !strings.HasPrefix(second, "metadata") {
				second = "spec: {" + second + "}"
			}
			version := Version{1, 37}
			if c.classic {
				version = Version{1, 28}
			}
			i := mustCompile(t, config.Texts{
				Config: "defaultTemplates: [one, two]\ntemplates:\n  one: |\n    spec: {" + c.first + "}\n  two: |\n    " + second + "\n",
				Values: sprintf("global: {proxy: {holdApplicationUntilProxyStarts: %v}}", c.hold),
			}, Environment{Kubernetes: version})
			pod := podOf(c.spec)
			once := mustInject(t, i, Request{Pod: pod, Namespace: "ns"}).PodJSON()
			if got := orderOf(t, once); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if again := mustInject(t, i, Request{Pod: once, Namespace: "ns"}); len(again.Patch) > 0 {
				t.Errorf("the second injection changes %s", AppendPatch(nil, again.Patch))
			}
			back, err := Uninjector{}.Inject(Request{Pod: once})
			if err != nil || orderOf(t, []byte(back.Tree().JSON())) != orderOf(t, pod) {
				t.Errorf("uninjected: %v %s, want %s", err, orderOf(t, []byte(back.Tree().JSON())), orderOf(t, pod))
			}
		})
	}
}

// podOf has containers and, after a slash, init containers of these names.
func podOf(names string) []byte {
	list := func(names string) (out string) {
		for _, name := range strings.Fields(names) {
			image := "i"
			if name == proxyContainerName || name == initContainerName {
				image = "auto"
			}
			out += sprintf(`,{"name":%q,"image":%q}`, name, image)
		}
		return strings.TrimPrefix(out, ",")
	}
	containers, initial, _ := strings.Cut(names, "/")
	spec := `{"spec":{"containers":[` + list(containers) + `]`
	if initial != "" {
		spec += `,"initContainers":[` + list(initial) + `]`
	}
	return []byte(spec + `}}`)
}

func orderOf(t *testing.T, pod []byte) string {
	t.Helper()
	type named []struct{ Name string }
	var p struct {
		Spec struct{ InitContainers, Containers named }
	}
	if err := json.Unmarshal(pod, &p); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range slices.Concat(p.Spec.InitContainers, named{{"|"}}, p.Spec.Containers) {
		out = append(out, c.Name)
	}
	return strings.Join(out, " ")
}
