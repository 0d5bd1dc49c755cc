package main

import (
	"strings"
	"testing"
)

// TestInputsThatAreNoFiles: the message has the command to use instead.
func TestInputsThatAreNoFiles(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"kube-inject", "-f", "https://example.com/a.yaml"}, "-f https://example.com/a.yaml: a URL is not a file; use curl -fsSL https://example.com/a.yaml | outrider kube-inject -f -"},
		{[]string{"uninject", "-f", "http://example.com/a.yaml"}, "use curl -fsSL http://example.com/a.yaml | outrider uninject -f -"},
		{[]string{"kube-inject", "-f", "HTTPS://example.com/a?b=c&d"}, "use curl -fsSL 'HTTPS://example.com/a?b=c&d' | outrider"},
		{[]string{"kube-inject", "-f", "oci://example.com/a"}, "a URL is not a file"},
		{[]string{"kube-inject", "-f", "https://example.com/a.yaml", "--in-place"}, "a URL is not a file"},
		{[]string{"kube-inject", "-f", "-", "--valuesFile", "https://example.com/v.yaml"}, "--valuesFile https://example.com/v.yaml: a URL is not a file; download it first: curl -fsSLO https://example.com/v.yaml"},
		{[]string{"ranges", "-f", "https://example.com/v.yaml"}, "a URL is not a file; download it first"},
		{[]string{"kube-inject", "-f", "manifests/*.yaml"}, "-f manifests/*.yaml: no such file; the shell expands patterns without quotes only"},
	} {
		if got := runWith(t, "", c.args...); got.code != 1 || got.out != "" || !strings.Contains(got.err, c.want) {
			t.Errorf("%q: %+v", c.args, got)
		}
	}
}

// TestUnrenderedTemplates: a template that is not YAML is named as such; YAML with
// braces in text is not.
func TestUnrenderedTemplates(t *testing.T) {
	const head = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n"
	const tail = "spec:\n  template:\n    spec:\n      containers:\n      - name: app\n        image: i\n"
	const fix = "; render it first, such as: helm template CHART | outrider kube-inject -f -"
	for name, c := range map[string]struct{ in, want string }{ // want is empty for YAML
		"value":               {head + "  name: {{ .Values.name }}\n" + tail, `standard input:4: document 1: "{{ .Values.name }}": unrendered template, which is not YAML` + fix},
		"value and text":      {head + "  name: {{ .Release.Name }}-web\n" + tail, ":4: document 1: \"{{ .Release.Name }}\": unrendered"},
		"number":              {head + "  name: a\nspec:\n  replicas: {{ .Values.replicas }}\n", ":6: document 1: "},
		"condition":           {"{{- if .Values.enabled }}\n" + head + "  name: a\n" + tail + "{{- end }}\n", ":1: document 1: \"{{- if .Values.enabled }}\": "},
		"indented condition":  {head + "  name: a\n  {{- with .Values.labels }}\n  labels:\n    {{- toYaml . | nindent 4 }}\n  {{- end }}\n" + tail, ":5: document 1: "},
		"include":             {head + "  name: a\n  labels:\n{{ include \"labels\" . | indent 4 }}\n" + tail, ":6: document 1: "},
		"item":                {head + "  name: a\nspec:\n  args:\n  - {{ .Values.arg }}\n", ":7: document 1: "},
		"within flow":         {head + "  labels: {app: {{ .Values.app }}}\n" + tail, ":4: document 1: "},
		"over lines":          {head + "  name: a\n  x:\n    {{- if and\n      .Values.a }}\n    b: c\n    {{- end }}\n", ":6: document 1: "},
		"comment":             {"{{/* A comment. */}}\n" + head + "  name: a\n" + tail, ":1: document 1: "},
		"jinja":               {head + "  name: a\n{% if x %}\n  labels: {}\n{% endif %}\n", ":5: document 1: \"{% if x %}\": unrendered"},
		"second document":     {head + "  name: a\n" + tail + "---\n" + head + "  name: {{ .Values.b }}\n", ":15: document 2: \"{{ .Values.b }}\""},
		"quoted":              {head + "  name: a\n  annotations: {a: \"{{ .Values.x }}\", b: '{{ y }}'}\n" + tail, ""},
		"plain":               {head + "  name: a\n  annotations:\n    a: x {{ $labels.instance }} y\n" + tail, ""},
		"block":               {head + "  name: a\n  annotations:\n    a: |\n      {{- if x }}\n      b: {{ y }}\n      {{- end }}\n" + tail, ""},
		"a comment":           {head + "  # {{ .Values.x }}\n  name: a\n" + tail, ""},
		"an error elsewhere":  {head + "  name: a\n  annotations:\n    a: |\n      {{- if x }}\n  b: [\n" + tail, "not valid YAML"},
		"an error, quoted":    {head + "  name: \"{{ x }}\"\n  b: 'c\n" + tail, "not valid YAML"},
		"duplicate, not ours": {head + "  a: \"{{ x }}\"\n  a: b\n" + tail, "duplicate key"},
	} {
		t.Run(name, func(t *testing.T) {
			got := runWith(t, c.in, "kube-inject", "-f", "-")
			switch {
			case c.want == "" && (got.code != 0 || !strings.Contains(got.out, "name: istio-proxy")),
				c.want != "" && (got.code != 1 || !strings.Contains(got.err, c.want)),
				strings.Contains(c.want, "unrendered") != strings.Contains(got.err, "unrendered") && strings.HasPrefix(c.want, "not"):
				t.Errorf("%d %s", got.code, got.err)
			}
			if strings.HasPrefix(c.want, ":") && !strings.Contains(got.err, "unrendered template") {
				t.Error(got.err)
			}
		})
	}
}
