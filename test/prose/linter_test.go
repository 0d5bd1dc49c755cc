package prose

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLinter puts a word of the glossary back, in each form of text that the
// linter reads, and expects it to fail there and nowhere else.
func TestLinter(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	put("good.md", string(readme))
	put("good.go", "// Package x answers with \"connection refused\".\npackage x\n\n// The string is for the literals' test.\nvar y = `refused`\n")
	put("good.yaml", "# The settings that are active.\nkind: ConfigMap\n")
	if out, err := lint(t, dir); err != nil {
		t.Fatalf("the linter rejects good texts: %v\n%s", err, out)
	}
	put("bad.md", string(readme)+"\nThe edit is in force.\n")
	put("bad.go", "// Package x is told what to do.\npackage x\n")
	put("bad.yaml", "# An authority that vouches for it.\nkind: ConfigMap\n")
	out, err := lint(t, dir)
	if err == nil {
		t.Fatalf("the linter accepts bad texts:\n%s", out)
	}
	for _, want := range []string{"bad.md", "'in force'", "bad.go", "'told'", "bad.yaml", "'vouches'"} {
		if !strings.Contains(out, want) {
			t.Errorf("the linter does not report %s:\n%s", want, out)
		}
	}
	if strings.Contains(out, "good.") {
		t.Errorf("the linter rejects good texts, too:\n%s", out)
	}
}

// lint runs the linter as `make lint` does, on a directory.
func lint(t *testing.T, dir string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("cc"); err != nil {
		if os.Getenv("REQUIRE_REAL") != "" {
			t.Fatal("the linter is built with a C compiler, and there is none: apt-get install gcc")
		}
		t.Skip("the linter is built with a C compiler, and there is none: apt-get install gcc")
	}
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-modfile=hack/prose/go.mod", "vale", "--no-global", "--output=line", dir)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	return string(out), err
}
