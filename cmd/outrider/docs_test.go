package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/test/page"
)

// docs/kube-inject.md: every command of this program in it runs, and its table
// has every flag.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "kube-inject.md"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.MkdirAll(filepath.Join("manifests", "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"manifests/a.yaml": deployment("a: b"), "manifests/below/c.yaml": deployment("a: b"),
		"service.yaml":    "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: s}\nspec:\n  template:\n    spec:\n      containers:\n      - image: i\n",
		"deployment.yaml": deployment("a: b"), "pods.yaml": deployment("c: d"),
		"config.yaml": "policy: enabled\n", "values.json": "{}", "mesh.yaml": "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	commands := 0
	for _, block := range page.Of(string(text), "sh") {
		for line := range strings.SplitSeq(block.Body, "\n") {
			_, command, ok := strings.Cut(line, "outrider ")
			if !ok {
				continue
			}
			command, _, _ = strings.Cut(command, " | ")
			command, _, _ = strings.Cut(command, " > ")
			got := runWith(t, deployment("a: b"), strings.Fields(command)...)
			quiet := strings.Contains(command, " -o ") || strings.Contains(command, "--in-place") || strings.HasPrefix(command, "uninject")
			if got.code != 0 || !strings.Contains(got.out, "istio-proxy") && !quiet {
				t.Errorf("%s: %+v", line, got)
			}
			commands++
		}
	}
	if commands < 5 {
		t.Errorf("only %d commands found", commands)
	}
	if back := runWith(t, "", "uninject", "-f", "injected.yaml"); back.out != deployment("a: b") {
		t.Errorf("uninject: %+v", back)
	}
	usage := ownFlags(kubeInjectCommand(stdio{}).Flags()).FlagUsages()
	for _, flag := range regexp.MustCompile(`--[\w-]+`).FindAllString(usage, -1) {
		if !strings.Contains(string(text), "`"+flag+"`") {
			t.Errorf("no row for %s", flag)
		}
	}
}
