package main

import (
	"strings"
	"testing"
)

// A file is injected for one revision: a pod that names another one is reported, and
// --revision is the revision of the result.
func TestRevision(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels: {istio.io/rev: canary}\nspec:\n  containers:\n  - {name: app, image: i}\n"
	const warning = `warning: label istio.io/rev: "canary": no effect: the pod gets the sidecar of revision "`
	values := write(t, "values.yaml", "revision: stable\n")
	for _, c := range []struct {
		name           string
		args           []string
		code           int
		annotated, err string
	}{
		{"by default", nil, 0, "default", warning + `default"; set this label on its namespace, pass --revision canary to kube-inject, or remove the label`},
		{"its own", []string{"--revision", "canary"}, 0, "canary", ""},
		{"its own, shorter", []string{"-r", "canary"}, 0, "canary", ""},
		{"another", []string{"--revision", "stable"}, 0, "stable", warning + `stable"`},
		{"by the values", []string{"--valuesFile", values}, 0, "stable", warning + `stable"`},
		{"the values' own", []string{"--valuesFile", values, "--revision", "stable"}, 0, "stable", warning + `stable"`},
		{"not the values'", []string{"--valuesFile", values, "--revision", "canary"}, 1, "", `--revision "canary": values are for revision "stable"; pass matching values or omit --revision`},
		{"no name", []string{"--revision", "Canary one"}, 2, "", `--revision: "Canary one": invalid name: `},
	} {
		got := runWith(t, pod, append([]string{"kube-inject", "-f", "-"}, c.args...)...)
		if got.code != c.code || !strings.Contains(got.err, c.err) || c.err == "" && got.err != "" {
			t.Errorf("%s: exit code %d, want %d; %q, want %q", c.name, got.code, c.code, got.err, c.err)
		}
		if c.code == 0 && !strings.Contains(got.out, "istio.io/rev: "+c.annotated+"\n") {
			t.Errorf("%s: not annotated with %s:\n%s", c.name, c.annotated, got.out)
		}
	}
}
