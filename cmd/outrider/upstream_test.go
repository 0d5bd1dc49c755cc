package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Defects of istioctl kube-inject that its users reported, and that must not occur
// here. The numbers are issues of istio/istio.
func TestUpstreamDefects(t *testing.T) {
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"the configuration's policy, selectors, default templates, aliases and annotations apply offline", usesConfiguration},
		{"a CronJob's pod template decides, and gets the status", injectsCronJobTemplates},
		{"comments, key order and unknown fields stay, and no noise is added", keepsTextWithoutNoise},
		{"every document stays, between the separators it had", keepsDocuments},
		{"unknown items of a List stay, nested Lists are injected", keepsListItems},
		{"an error leaves no partial output", writesNothingOnError},
		{"standard output holds the result and nothing else (4985)", writesOnlyTheResult},
		{"a ConfigMap's values are used without a webhook in the cluster (36899, 38083)", readsConfigMaps},
		{"an unknown template is reported with the known ones", namesUnknownTemplates},
		{"one resource does not erase the other three (35905)", keepsOtherResources},
		{"a blank in a range list drops no range (45338)", readsRangesWithSpaces},
		{"several files, and files in place (36470)", editsFilesInPlace},
		{"a patch instead of a file (38966)", printsPatches},
		{"a custom kind is injected, or copied byte for byte", injectsCustomKinds},
		{"no cluster is needed or contacted", needsNoCluster},
	} {
		t.Run(c.name, c.test)
	}
}

func usesConfiguration(t *testing.T) {
	config := write(t, "config.yaml", `policy: disabled
alwaysInjectSelector: [{matchLabels: {mesh: "yes"}}]
neverInjectSelector: [{matchLabels: {mesh: never}}]
defaultTemplates: [both]
aliases: {both: [sidecar, extra]}
injectedAnnotations: {example.com/injected: "yes"}
templates:
  extra: |
    metadata: {labels: {example.com/extra: "yes"}}
`)
	with := func(label string) ran {
		in := strings.Replace(deployment("a: b"), "        app: sleep\n", "        app: sleep\n        mesh: "+label+"\n", 1)
		return runWith(t, in, "kube-inject", "-f", "-", "--injectConfigFile", config)
	}
	for _, label := range []string{`"no"`, "never"} {
		if got := with(label); got.code != 0 || strings.Contains(got.out, "istio-proxy") || !strings.Contains(got.err, "skipped: ") {
			t.Errorf("%s: %+v", label, got)
		}
	}
	got := with(`"yes"`)
	for _, want := range []string{"name: istio-proxy\n", "example.com/injected: \"yes\"\n", "example.com/extra: \"yes\"\n"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is not in %+v", want, got)
		}
	}
}

func injectsCronJobTemplates(t *testing.T) {
	cron := func(label string) string {
		return "apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: c\nspec:\n  jobTemplate:\n    metadata:\n      labels: {sidecar.istio.io/inject: \"true\"}\n    spec:\n" +
			"      template:\n        metadata:\n          labels: {sidecar.istio.io/inject: \"" + label + "\"}\n        spec:\n          containers:\n          - name: c\n            image: i\n"
	}
	if got := runWith(t, cron("false"), "kube-inject", "-f", "-"); got.out != cron("false") || !strings.Contains(got.err, "skipped: ") {
		t.Errorf("opted out: %+v", got)
	}
	got := runWith(t, cron("true"), "kube-inject", "-f", "-")
	status := strings.Index(got.out, "            sidecar.istio.io/status:")
	if status < strings.Index(got.out, "      template:") || strings.Count(got.out, "sidecar.istio.io/status:") != 1 {
		t.Errorf("status: %s", got.out)
	}
}

func keepsTextWithoutNoise(t *testing.T) {
	in := strings.Replace(deployment("a: b"), "spec:\n", "spec:\n  newerThanUs: {b: 1, a: 2} # a field of tomorrow\n", 1)
	got := runWith(t, in, "kube-inject", "-f", "-")
	for _, line := range strings.SplitAfter(in, "\n") {
		if !strings.Contains(got.out, line) {
			t.Errorf("%q is gone", line)
		}
	}
	for _, noise := range []string{"creationTimestamp", "status: {}", "---"} {
		if strings.Contains(got.out, noise) {
			t.Errorf("%q was added", noise)
		}
	}
}

func keepsDocuments(t *testing.T) {
	in := "---\n# nothing\n---\n" + service + "---\n" + deployment("a: b") + "---\napiVersion: example.com/v1\nkind: Of Tomorrow\nx:   y\n"
	got := runWith(t, in, "kube-inject", "-f", "-")
	before, after, _ := strings.Cut(in, deployment("a: b"))
	if !strings.HasPrefix(got.out, before) || !strings.HasSuffix(got.out, "\n"+after) {
		t.Errorf("%s", got.out)
	}
}

func keepsListItems(t *testing.T) {
	item := func(text string) string {
		return "- " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
	}
	inner := "apiVersion: v1\nkind: List\nitems:\n" + item(deployment("a: b"))
	in := "apiVersion: v1\nkind: List\nitems:\n" + item("apiVersion: example.com/v1\nkind: Odd\nx:   y") + item(inner)
	got := runWith(t, in, "kube-inject", "-f", "-")
	if got.code != 0 || !strings.Contains(got.out, "  kind: Odd\n  x:   y\n") || strings.Count(got.out, "name: istio-proxy") != 1 {
		t.Errorf("%+v", got)
	}
}

func writesNothingOnError(t *testing.T) {
	in := deployment("a: b") + "---\n" + deployment("sidecar.istio.io/proxyCPU: lots")
	if got := runWith(t, in, "kube-inject", "-f", "-"); got.code != 1 || got.out != "" {
		t.Errorf("%+v", got)
	}
}

func writesOnlyTheResult(t *testing.T) {
	in := strings.Replace(deployment("sidecar.istio.io/statsFlushInterval: 1s"), "      containers:", "      hostNetwork: true\n      containers:", 1)
	if got := runWith(t, in, "kube-inject", "-f", "-"); got.out != in || got.err == "" {
		t.Errorf("%+v", got)
	}
}

func readsConfigMaps(t *testing.T) {
	values := write(t, "cm.yaml", "apiVersion: v1\nkind: ConfigMap\ndata:\n  values: '{\"global\": {\"proxy\": {\"logLevel\": \"debug\"}}}'\n")
	if got := runWith(t, deployment("a: b"), "kube-inject", "-f", "-", "--valuesFile", values); !strings.Contains(got.out, "- debug\n") {
		t.Errorf("%+v", got)
	}
}

func namesUnknownTemplates(t *testing.T) {
	got := runWith(t, deployment("inject.istio.io/templates: gateway"), "kube-inject", "-f", "-")
	if got.code != 1 || !strings.Contains(got.err, `"gateway": no such template; use one of sidecar`) {
		t.Errorf("%+v", got)
	}
}

func keepsOtherResources(t *testing.T) {
	got := runWith(t, deployment("sidecar.istio.io/proxyCPU: 300m"), "kube-inject", "-f", "-")
	for _, want := range []string{"cpu: 300m", "memory: 80Mi", `cpu: "2"`, "memory: 1Gi"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is not there", want)
		}
	}
}

func readsRangesWithSpaces(t *testing.T) {
	got := runWith(t, deployment(`traffic.sidecar.istio.io/excludeOutboundIPRanges: "10.0.0.0/8, 192.168.0.0/16"`), "kube-inject", "-f", "-")
	if !strings.Contains(got.out, "- 10.0.0.0/8,192.168.0.0/16\n") {
		t.Errorf("%+v", got)
	}
}

func editsFilesInPlace(t *testing.T) {
	dir := tree(t, map[string]string{"a.yaml": named("a"), "b.yaml": named("b")})
	if got := runWith(t, "", "kube-inject", "-f", dir, "--in-place"); got.code != 0 || !strings.Contains(read(t, dir, "a.yaml"), "istio-proxy") {
		t.Errorf("%+v", got)
	}
}

func printsPatches(t *testing.T) {
	got := runWith(t, deployment("a: b"), "kube-inject", "-f", "-", "--format", "patch")
	if !strings.HasPrefix(got.out, `{"target":{"group":"apps","version":"v1","kind":"Deployment","name":"sleep"},"patch":[{"op":"add","path":"/spec/template/`) {
		t.Errorf("%+v", got)
	}
}

func injectsCustomKinds(t *testing.T) {
	rollout := strings.NewReplacer("apps/v1", "argoproj.io/v1alpha1", "Deployment", "Rollout").Replace(deployment("a: b"))
	if got := runWith(t, rollout, "kube-inject", "-f", "-"); !strings.Contains(got.out, "name: istio-proxy\n") {
		t.Errorf("%+v", got)
	}
	other := strings.Replace(rollout, "Rollout", "Other", 1)
	if got := runWith(t, other, "kube-inject", "-f", "-"); got.out != other {
		t.Errorf("%+v", got)
	}
}

func needsNoCluster(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("HOME", t.TempDir())
	if err := os.Unsetenv("KUBERNETES_SERVICE_HOST"); err != nil {
		t.Fatal(err)
	}
	if got := runWith(t, deployment("a: b"), "kube-inject", "-f", "-"); got.code != 0 || got.err != "" {
		t.Errorf("%+v", got)
	}
}
