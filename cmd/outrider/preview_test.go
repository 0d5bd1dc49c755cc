package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/status"
)

func TestStatusUsage(t *testing.T) {
	for args, want := range map[string]string{
		"status -o xml":              `-o: "xml": unknown output format; use text, wide, json or yaml`,
		"status -A -n shop":          "-A and -n are mutually exclusive",
		"status -l a=b=c":            `-l: "a=b=c": `,
		"status --interval 1ms":      "--interval: 1ms: too short; use 1s or more",
		"preview":                    "no edit: specify -f FILE or --set KEY=VALUE",
		"preview --set a":            `--set: "a": not KEY=VALUE; use a key such as global.proxy.includeIPRanges`,
		"preview --set a..b=c":       `--set: "a..b=c": not KEY=VALUE`,
		"preview --set a=b -o x":     `-o: "x": unknown output format`,
		"preview --set a=b -A -n x":  "-A and -n are mutually exclusive",
		"preview -f /nowhere.yaml":   "no such file",
		"status --kubeconfig /nope/": "load kubeconfig",
	} {
		got := runWith(t, "", strings.Fields(args)...)
		if got.code == exitOK || !strings.Contains(got.err, "error: ") || !strings.Contains(got.err, want) || got.out != "" {
			t.Errorf("%s: %+v", args, got)
		}
		if usage := !strings.Contains(args, "/n"); usage && got.code != exitUsage {
			t.Errorf("%s: exit code %d", args, got.code)
		}
	}
}

const (
	previewMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-sidecar-injector}\ndata:\n"
	previewPod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\nspec: {containers: [{name: a, image: a}]}\n"
)

// TestPreviewFiles: what the files have is read whole, and is checked.
func TestPreviewFiles(t *testing.T) {
	for _, tt := range []struct {
		name, manifest string
		args           []string
		code           int
		out, err       string
	}{
		{name: "an edit without an effect on pods", manifest: previewMap + "  values: 'global: {tracer: {}}'\n" + previewPod, out: "0 of 1 workload would change"},
		{name: "ranges", manifest: previewMap + "  values: 'global: {proxy: {excludeIPRanges: 10.0.0.0/8}}'\n" + previewPod, code: 1,
			out: `shop/pod/a (standard input:7): changes` + "\n" + `  excludeOutboundIPRanges: "" -> 10.0.0.0/8`},
		{name: "set", manifest: previewPod, args: []string{"--set", "global.proxy.excludeIPRanges=10.0.0.0/8"}, code: 1, out: "excludeOutboundIPRanges"},
		{name: "set with the prefix of the values", manifest: previewPod, args: []string{"--set", "values.global.proxy.image=x"}, code: 1, out: "proxyImage"},
		{name: "set a list of ranges", manifest: previewPod, args: []string{"--set", "global.proxy.includeIPRanges=10.0.0.0/8,fd00::/8"}, code: 1, out: "* -> 10.0.0.0/8,fd00::/8"},
		{name: "set the wildcard", manifest: previewPod, args: []string{"--set", "global.proxy.includeIPRanges=*"}, out: "0 of 1 workload would change"},
		{name: "set the mesh configuration", manifest: previewPod, args: []string{"--set", "meshConfig.outboundTrafficPolicy.mode=REGISTRY_ONLY"}, code: 1,
			out: "Running sidecars change at once:\n  outboundTrafficPolicy.mode: ALLOW_ANY -> REGISTRY_ONLY\n\n0 of 1 workload would change"},
		{name: "set below a value", manifest: previewPod, args: []string{"--set", "a=1", "--set", "a.b=2"}, code: 2, err: `--set "a.b=2": a is not an object`},
		{name: "a rejected edit", manifest: previewMap + "  values: 'global: {proxy: {excludeIPRanges: 10.0.0.0/33}}'\n" + previewPod, code: 2,
			err: `standard input: ConfigMap istio-system/istio-sidecar-injector, key "values":1:35: global.proxy.excludeIPRanges: "10.0.0.0/33": prefix length 33 exceeds 32`},
		{name: "another name", manifest: strings.Replace(previewMap, "istio-sidecar-injector", "injector", 1) + "  values: '{}'\n" + previewPod, code: 2,
			err: `standard input:1: ConfigMap "injector" is not read; the names are istio-sidecar-injector and istio (see --revision)`},
		{name: "another namespace", manifest: strings.Replace(previewMap, "injector}", "injector, namespace: x}", 1) + "  values: '{}'\n", code: 2, err: `is in namespace "x"`},
		{name: "another key", manifest: previewMap + "  value: '{}'\n", code: 2, err: `has the key "value", which is not read`},
		{name: "no edit", manifest: previewPod, code: 2, err: "-: no ConfigMap istio-sidecar-injector or istio, which is the edit; add one, or use --set"},
		{name: "no YAML", manifest: "a: [\n", args: []string{"--set", "a=b"}, code: 2, err: "standard input:1: "},
		{name: "a namespace without the label", manifest: previewPod + "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n", args: []string{"--set", "global.proxy.image=x"}, out: "0 of 1 workload"},
		{name: "a terminal's commands", manifest: strings.Replace(previewPod, "name: a,", `name: "a\e[31m",`, 1), args: []string{"--set", "global.proxy.image=x"}, code: 1, out: "shop/pod/a\ufffd[31m"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := runWith(t, tt.manifest, append([]string{"preview", "-f", "-"}, tt.args...)...)
			if got.code != tt.code || !strings.Contains(got.out, tt.out) || !strings.Contains(got.err, tt.err) || tt.code == 2 && got.out != "" {
				t.Errorf("%+v", got)
			}
		})
	}
	got := runWith(t, previewPod, "preview", "-f", "-", "--set", "global.proxy.image=x", "-o", "json")
	var p status.Preview
	if err := json.Unmarshal([]byte(got.out), &p); err != nil || got.code != 1 || !p.Changes || p.Workloads[0].Differences[0].Source != "--set" || p.Workloads[0].Line != 2 {
		t.Errorf("%v: %+v", err, got)
	}
}
