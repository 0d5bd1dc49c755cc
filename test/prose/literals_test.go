package prose

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const (
	root         = "../.."
	glossaryFile = root + "/hack/prose/styles/Outrider/Glossary.yml"
)

// allowed are literals that hold a word of the glossary and are not ours, by file and
// a part of the literal, with the reason.
var allowed = []struct{ file, part, why string }{
	{"egress/routefields.go", "refused-stream", "the default conditions of Envoy's retries"},
	{"egress/envoynames.go", "refused-stream", "a retry condition of Envoy"},
	{"egress/envoy/cluster.go", "refused-address", "the policy's name in the configuration of every sidecar, which stays"},
	{"test/kit/netns/netns.go", "refused", "the kernel's error, connection refused"},
}

func glossary(t *testing.T) *Glossary {
	t.Helper()
	g, err := Load(glossaryFile)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestLiterals holds every string literal of the code against the glossary.
func TestLiterals(t *testing.T) {
	g := glossary(t)
	used := make([]bool, len(allowed))
	literals := 0
	for file, text := range goFiles(t) {
		for _, l := range literalsOf(t, file, text) {
			literals++
			for _, f := range g.Find(l.text) {
				if i := allowedAt(file, l.text); i >= 0 {
					used[i] = true
					continue
				}
				t.Errorf("%s:%d: %q: use %s", file, l.line, f.Word, f.Use)
			}
		}
	}
	if literals < 5000 {
		t.Errorf("only %d literals were found", literals)
	}
	for i, u := range used {
		if !u {
			t.Errorf("the exception for %s (%s) is not needed", allowed[i].file, allowed[i].part)
		}
	}
}

// TestLiteralsAreFound breaks the rule once.
func TestLiteralsAreFound(t *testing.T) {
	g := glossary(t)
	for text, want := range map[string]int{
		"package x\n\nvar y = \"the edit was refused\"":                          1,
		"package x\n\nvar y = `the door\nis in  force`":                          2,
		"package x\n\nvar y = \"dial: connection refused\"":                      0,
		"package x\n\nimport \"told\"\n\nvar y struct{ a int `said:\"told\"` }":  0,
		"package x\n\n// a comment is the linter's: refused\nvar y = \"denied\"": 0,
	} {
		got := 0
		for _, l := range literalsOf(t, "x.go", text) {
			got += len(g.Find(l.text))
		}
		if got != want {
			t.Errorf("%d findings, want %d, in:\n%s", got, want, text)
		}
	}
}

func allowedAt(file, text string) int {
	for i, a := range allowed {
		if a.file == file && strings.Contains(text, a.part) {
			return i
		}
	}
	return -1
}

// goFiles are the files that are no tests, by their path in the module.
func goFiles(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		name, relErr := filepath.Rel(root, path)
		if relErr != nil {
			return relErr
		}
		out[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type literal struct {
	text string
	line int
}

// literalsOf are the string literals of a file that a user may see: all but
// import paths and struct tags.
func literalsOf(t *testing.T, file, text string) []literal {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, file, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var out []literal
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			n.Tag = nil
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				value, err := strconv.Unquote(n.Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, literal{value, set.Position(n.Pos()).Line})
			}
		}
		return true
	})
	return out
}
