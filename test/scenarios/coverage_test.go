package scenarios

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestEveryReasonHasAScenario: each outcome of the product is shown by
// some scenario.
func TestEveryReasonHasAScenario(t *testing.T) {
	var all strings.Builder
	for _, s := range loadAll(t) {
		text, _ := s.get("want.txt")
		all.WriteString(text)
	}
	reasons := reasonsOf(t, "../../inject")
	if len(reasons) < 16 {
		t.Fatalf("found %d constants Reason* and Rejected* in inject; there were at least 16", len(reasons))
	}
	for name, value := range reasons {
		// "injected: label_true", at the end of its line
		if !strings.Contains(all.String(), ": "+value+"\n") {
			t.Errorf("no scenario shows inject.%s (%s)", name, value)
		}
	}
}

// reasonsOf reads the constants Reason* and Rejected* from a package's source.
func reasonsOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok || gen.Tok != token.CONST {
				continue
			}
			for _, spec := range gen.Specs {
				constant := spec.(*ast.ValueSpec)
				name := constant.Names[0].Name
				if !strings.HasPrefix(name, "Reason") && !strings.HasPrefix(name, "Rejected") {
					continue
				}
				literal, ok := constant.Values[0].(*ast.BasicLit)
				if !ok {
					t.Fatalf("inject.%s is not written as a literal", name)
				}
				if out[name], err = strconv.Unquote(literal.Value); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return out
}
