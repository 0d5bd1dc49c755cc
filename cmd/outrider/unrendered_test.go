package main

import (
	"strings"
	"testing"
)

// TestUnrenderedValues: an action of a template within a value is valid YAML; a warning
// names the value.
func TestUnrenderedValues(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  labels: {app: web}\nspec:\n  containers:\n  - name: app\n    image: example.com/app:1\n"
	with := func(old, text string) string { return strings.Replace(pod, old, text, 1) }
	for name, c := range map[string]struct{ in, want string }{
		"a tag":       {with("app:1", "app:{{ .Values.tag }}"), `spec.containers[0].image: "example.com/app:{{ .Values.tag }}": unrendered template`},
		"in quotes":   {with("example.com/app:1", `"{{ .Values.image }}"`), `spec.containers[0].image: "{{ .Values.image }}"`},
		"other":       {with("app:1", "app:{{tag}}"), "spec.containers[0].image"},
		"a statement": {with("app:1", "app:{% tag %}"), "spec.containers[0].image"},
		"a name":      {with("name: web", "name: web-{{ .Release.Name }}"), "metadata.name"},
		"a label":     {with("{app: web}", `{app: "{{ x }}"}`), "metadata.labels.app"},
		"a container": {with("name: app", "name: a{{ x }}"), "spec.containers[0].name"},
		"an argument": {pod + "    args: [--port, '{{ .Values.port }}']\n", "spec.containers[0].args[1]"},
		"a function":  {pod + "    env: [{name: A, value: '{{- include \"web.a\" . | quote }}'}]\n", "spec.containers[0].env[0].value"},
		"a block":     {pod + "    args:\n    - |\n      {{ if $.Capabilities.x }}\n", "spec.containers[0].args[0]"},
		"a workload": {strings.Replace("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      containers:\n      - name: app\n        image: IMAGE\n", "IMAGE",
			"app:{{ .Values.tag }}", 1), "spec.template.spec.containers[0].image"},
	} {
		t.Run(name, func(t *testing.T) {
			got := runWith(t, c.in, "kube-inject", "-f", "-")
			if got.code != 0 || strings.Count(got.out, "name: istio-proxy") != 1 || strings.Count(got.err, "\n") != 1 ||
				!strings.Contains(got.err, ": warning: "+c.want) || !strings.Contains(got.err, "render it first, such as: helm template CHART") {
				t.Errorf("%+v", got.err)
			}
			if back := runWith(t, got.out, "uninject", "-f", "-"); back.code != 0 || strings.Contains(back.err, "unrendered") {
				t.Errorf("uninject: %+v", back)
			}
		})
	}
	kind := strings.Replace(pod, "kind: Pod", `kind: "{{ .Values.kind }}"`, 1) + "---\n" + pod
	if got := runWith(t, kind, "kube-inject", "-f", "-"); got.code != 0 || !strings.Contains(got.err, `document 1 ({{ .Values.kind }} web): not injected: kind "{{ .Values.kind }}" is an unrendered template; render it first`) {
		t.Errorf("a kind: %+v", got.err)
	}
	for _, quiet := range []string{
		pod + "    args: [--format, '{{.Names}}', '{{range .Items}}{{end}}']\n", pod + "    env: [{name: A, value: '{{ $labels.instance }}'}]\n",
		strings.Replace(pod, "  labels:", "  annotations: {vault: '{{- with secret \"x\" -}}{{ .Data.data.a }}{{- end }}'}\n  labels:", 1), "# {{ .Values.x }}\n" + pod,
		strings.Replace(pod, "  labels:", "  annotations: {a: '{{ .Values.x }}'}\n  labels:", 1),
	} {
		if got := runWith(t, quiet, "kube-inject", "-f", "-"); got.code != 0 || got.err != "" {
			t.Errorf("%s: %+v", quiet, got.err)
		}
	}
}
