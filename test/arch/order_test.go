package arch

import (
	"fmt"
	"go/ast"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// ordered are the packages whose files have an order, which the package comment
// states: a section "# Files" that lists each file, and a file uses only what the
// files before it declare.
var ordered = []string{"egress", "egress/envoy", "egress/decide", "ranges", "inject"}

// listed is a line of the section.
var listed = regexp.MustCompile(`^\s*-\s+([a-z0-9_]+\.go):\s+\S`)

func TestFilesAreInOrder(t *testing.T) {
	var patterns []string
	for _, dir := range ordered {
		patterns = append(patterns, module+"/"+dir)
	}
	found, err := packages.Load(&packages.Config{
		Dir:  root,
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports,
	}, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != len(ordered) {
		t.Fatalf("%d packages were loaded, want %d", len(found), len(ordered))
	}
	for _, p := range found {
		if len(p.Errors) > 0 {
			t.Errorf("%s: %v", p.PkgPath, p.Errors)
			continue
		}
		for _, problem := range outOfOrder(p) {
			t.Errorf("%s: %s", strings.TrimPrefix(p.PkgPath, module+"/"), problem)
		}
	}
}

// outOfOrder lists the files that the package comment does not list, and the
// uses of what a later file declares.
func outOfOrder(p *packages.Package) []string {
	rank := map[string]int{}
	for _, f := range p.Syntax {
		for _, name := range filesOf(f.Doc.Text()) {
			if _, twice := rank[name]; twice {
				return []string{"the package comment lists " + name + " more than once"}
			}
			rank[name] = len(rank)
		}
	}
	var out []string
	for _, f := range p.Syntax {
		name := fileName(p, f)
		if _, ok := rank[name]; !ok && name != "doc.go" {
			out = append(out, "the package comment's section Files does not list "+name)
		}
		delete(rank, "doc.go")
	}
	present := map[string]bool{}
	for _, f := range p.Syntax {
		present[fileName(p, f)] = true
	}
	for name := range rank {
		if !present[name] {
			out = append(out, "the package comment's section Files lists "+name+", which does not exist")
		}
	}
	if len(out) > 0 {
		slices.Sort(out)
		return out
	}
	return upward(p, rank)
}

// upward lists the uses of what a later file declares, one for each pair of
// files and name.
func upward(p *packages.Package, rank map[string]int) []string {
	out := map[string]bool{}
	for _, f := range p.Syntax {
		from := fileName(p, f)
		ast.Inspect(f, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			used := p.TypesInfo.Uses[id]
			if used == nil || used.Pkg() != p.Types || !topLevel(p, used) {
				return true
			}
			to := filepath.Base(p.Fset.Position(used.Pos()).Filename)
			if to != from && rank[to] > rank[from] {
				out[fmt.Sprintf("%s uses %s of %s, which comes later", from, used.Name(), to)] = true
			}
			return true
		})
	}
	return slices.Sorted(maps.Keys(out))
}

// topLevel reports what a package declares outside functions, methods included.
// A field belongs to its type, which is used where the field is.
func topLevel(p *packages.Package, o types.Object) bool {
	if f, ok := o.(*types.Func); ok {
		return f.Signature().Recv() == nil || !types.IsInterface(f.Signature().Recv().Type())
	}
	return o.Parent() == p.Types.Scope()
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func fileName(p *packages.Package, f *ast.File) string {
	return filepath.Base(p.Fset.Position(f.Package).Filename)
}

// filesOf reads the section "# Files" of a package comment.
func filesOf(comment string) (names []string) {
	_, section, _ := strings.Cut(comment, "# Files\n")
	section, _, _ = strings.Cut(section, "\n# ")
	for line := range strings.Lines(section) {
		if m := listed.FindStringSubmatch(line); m != nil {
			names = append(names, m[1])
		}
	}
	return names
}

// TestOrderRule breaks the rule once.
func TestOrderRule(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"go.mod": "module example.com/x\n\ngo 1.26\n",
		"doc.go": "// Package x is a test.\n//\n// # Files\n//\n// Each file uses only those before it:\n//   - a.go: words\n//   - b.go: readers\n//\n// # Other\n//\n//   - c.go: is not a file of the list\npackage x\n",
		"a.go":   "package x\n\ntype word int\n\nfunc (w word) read() int { return w.more() }\n",
		"b.go":   "package x\n\nfunc (w word) more() int { return w.read() + limit }\n\nconst limit = 1\n",
	})
	found, err := packages.Load(&packages.Config{
		Dir:  dir,
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports,
	}, ".")
	if err != nil || len(found) != 1 {
		t.Fatal(err, len(found))
	}
	got := strings.Join(outOfOrder(found[0]), "\n")
	if want := "a.go uses more of b.go, which comes later"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	write(t, dir, map[string]string{"d.go": "package x\n"})
	if found, err = packages.Load(&packages.Config{Dir: dir, Mode: packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports}, "."); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(outOfOrder(found[0]), "\n"), "the package comment's section Files does not list d.go"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
