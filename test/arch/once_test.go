package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// What exists once: a second one would drift from the first. Fences keep the
// packages that a second one would need; the rules here find what needs none.

// onceTypes are kinds of types, by the names of fields that only they have.
var onceTypes = []struct {
	fields []string
	in     string // the package that has the one type
	why    string
}{
	{[]string{"Rule", "Fix"}, "internal/problem", "what is wrong with an input has one form: use problem.Problem"},
	{[]string{"rule", "fix"}, "internal/problem", "what is wrong with an input has one form: use problem.Problem"},
}

// onceNames are label and annotation names with the one package that spells
// them.
var onceNames = []string{"istio.io/rev", "istio-injection", "sidecar.istio.io/inject", "sidecar.istio.io/status"}

func breaksOnce(files []source) (broken []string) {
	for _, f := range files {
		if r, _ := packageOf(f.dir()); f.test || r.kind == tool {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.StructType:
				for _, once := range onceTypes {
					if f.dir() != once.in && hasFields(n, once.fields) {
						broken = append(broken, fmt.Sprintf("%s: a second type with fields %s: %s", f.at(n.Pos()), strings.Join(once.fields, " and "), once.why))
					}
				}
			case *ast.BasicLit:
				text, err := strconv.Unquote(n.Value)
				if n.Kind == token.STRING && err == nil && slices.Contains(onceNames, text) && f.dir() != "annotation" {
					broken = append(broken, fmt.Sprintf("%s: %q is spelled again: package annotation has a constant", f.at(n.Pos()), text))
				}
			}
			return true
		})
	}
	return broken
}

func hasFields(s *ast.StructType, names []string) bool {
	have := map[string]bool{}
	for _, f := range s.Fields.List {
		for _, name := range f.Names {
			have[name.Name] = true
		}
	}
	return !slices.ContainsFunc(names, func(name string) bool { return !have[name] })
}

// small are packages that only wire others, with the sizes that keep them so.
var small = []struct {
	dir                  string
	lines, file, imports int // of all files, of each file, of the project's packages in each file
	why                  string
}{
	{"serve", 900, 150, 14, "it wires the two Deployments and decides nothing"},
}

func breaksSmall(files []source) (broken []string) {
	for _, s := range small {
		total := 0
		for _, f := range files {
			if f.test || f.dir() != s.dir {
				continue
			}
			total += f.lines
			ours := 0
			for _, imp := range f.imports() {
				if within(imp.pkg, module) {
					ours++
				}
			}
			if f.lines > s.file {
				broken = append(broken, fmt.Sprintf("%s: %d lines, the limit here is %d: %s", f.path, f.lines, s.file, s.why))
			}
			if ours > s.imports {
				broken = append(broken, fmt.Sprintf("%s: imports %d packages of the project, the limit here is %d: %s", f.path, ours, s.imports, s.why))
			}
		}
		if total > s.lines {
			broken = append(broken, fmt.Sprintf("%s: %d lines in all, the limit is %d: %s", s.dir, total, s.lines, s.why))
		}
	}
	return broken
}

func TestOnce(t *testing.T) {
	for _, c := range []struct{ file, src, want string }{
		{"config/a.go", "type fault struct { where, rule, fix string }", "a second type with fields rule and fix"},
		{"config/a.go", "type Problem struct { Rule string; Fix string }", "a second type with fields Rule and Fix"},
		{"config/a.go", "type row struct { rule string }", ""},
		{"internal/problem/a.go", "type Problem struct { Rule, Fix string }", ""},
		{"webhook/a.go", "const label = \"istio.io/rev\"", "\"istio.io/rev\" is spelled again"},
		{"webhook/a.go", "const text = \"label istio.io/rev\"", ""},
		{"annotation/a.go", "const Rev = \"istio.io/rev\"", ""},
		{"serve/a.go", "func f() {" + strings.Repeat("\n", 160) + "}", "lines, the limit here is 150"},
	} {
		files, err := load(fstest.MapFS{c.file: {Data: []byte("package p\n" + c.src)}, "go.mod": {}})
		if err != nil {
			t.Fatal(err)
		}
		got := slices.Concat(breaksOnce(files), breaksSmall(files))
		if len(got) > 1 || (c.want == "") != (len(got) == 0) || len(got) == 1 && !strings.Contains(got[0], c.want) {
			t.Errorf("%.60s: got %q, want %q", c.src, got, c.want)
		}
	}
	many := fstest.MapFS{"go.mod": {}}
	for i := range 8 {
		many[fmt.Sprintf("serve/%d.go", i)] = &fstest.MapFile{Data: []byte("package p\n" + strings.Repeat("\n", 130))}
	}
	many["serve/i.go"] = &fstest.MapFile{Data: []byte("package p\nimport (\n" + strings.Repeat("_ \""+module+"/x\"\n", 15) + ")\n")}
	files, err := load(many)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(breaksSmall(files), "\n")
	for _, want := range []string{"in all, the limit is 900", "serve/i.go: imports 15 packages"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
