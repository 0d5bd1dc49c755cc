package arch

import (
	"fmt"
	"go/ast"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// handlerPackages are the packages that answer HTTP requests. Handlers are where
// every known injector grew functions of 300 lines, so they have bounds of their
// own.
var handlerPackages = []string{"webhook", "debug"}

// The bounds of a function that handles a request, and of a file with one.
const (
	handlerLines       = 30
	handlerFileLines   = 120
	handlerFileImports = 12
)

// handles reports whether a function takes part in handling a request: it has a
// parameter that is the request, as it came (*http.Request) or decoded
// (*request), or the response that is written (http.ResponseWriter).
func handles(f *ast.FuncType) bool {
	return slices.ContainsFunc(f.Params.List, func(p *ast.Field) bool {
		switch typ := p.Type.(type) {
		case *ast.SelectorExpr:
			return typ.Sel.Name == "ResponseWriter"
		case *ast.StarExpr:
			switch x := typ.X.(type) {
			case *ast.SelectorExpr:
				return x.Sel.Name == "Request"
			case *ast.Ident:
				return x.Name == "request"
			}
		}
		return false
	})
}

// breaksHandlers finds handler functions and files over their bounds, and
// packages of handlers without one.
func breaksHandlers(files []source, dirs []string) (broken []string) {
	found := map[string]bool{}
	for _, f := range files {
		if f.test || !slices.Contains(dirs, f.dir()) {
			continue
		}
		handler := false
		ast.Inspect(f.ast, func(n ast.Node) bool {
			var typ *ast.FuncType
			name := "the function literal"
			switch fn := n.(type) {
			case *ast.FuncDecl:
				typ, name = fn.Type, fn.Name.Name
			case *ast.FuncLit:
				typ = fn.Type
			}
			if typ == nil || !handles(typ) {
				return true
			}
			handler = true
			if lines := f.fset.Position(n.End()).Line - f.fset.Position(n.Pos()).Line + 1; lines > handlerLines {
				broken = append(broken, fmt.Sprintf("%s: %s handles a request and has %d lines, the limit is %d: split it into named steps", f.at(n.Pos()), name, lines, handlerLines))
			}
			return true
		})
		if !handler {
			continue
		}
		found[f.dir()] = true
		if f.lines > handlerFileLines {
			broken = append(broken, fmt.Sprintf("%s: has a handler and %d lines, the limit is %d: move what is not a handler to a file of its own", f.path, f.lines, handlerFileLines))
		}
		if n := len(f.ast.Imports); n > handlerFileImports {
			broken = append(broken, fmt.Sprintf("%s: has a handler and %d imports, the limit is %d: move what is not a handler to a file of its own", f.path, n, handlerFileImports))
		}
	}
	for _, dir := range dirs {
		if !found[dir] {
			broken = append(broken, fmt.Sprintf("%s: has no handler, so its bounds guard nothing: was it renamed?", dir))
		}
	}
	return broken
}

func TestHandlers(t *testing.T) {
	files, err := load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, sentence := range breaksHandlers(files, handlerPackages) {
		t.Error(sentence)
	}
}

// TestHandlerRules breaks each bound once.
func TestHandlerRules(t *testing.T) {
	lines := func(head string, n int) string { return head + " {" + strings.Repeat("\n", n-1) + "}" }
	imports := func(n int) string {
		out := "import (\n"
		for i := range n {
			out += fmt.Sprintf("_ %q\n", fmt.Sprintf("p%d", i))
		}
		return out + ")\n"
	}
	for _, c := range []struct {
		name, src string
		broken    int
	}{
		{"at the limit", lines("func f(r *http.Request)", handlerLines), 0},
		{"over the limit", lines("func f(r *http.Request)", handlerLines+1), 1},
		{"a decoded request", lines("func f(r *request)", handlerLines+1), 1},
		{"a response", lines("func f(w http.ResponseWriter)", handlerLines+1), 1},
		{"a literal", "var h = " + lines("func(w http.ResponseWriter)", handlerLines+1), 1},
		{"no handler", "func h(r *http.Request) {}\n" + lines("func f(r Request)", handlerLines+1), 0},
		{"file at the limit", "func f(r *request) {}" + strings.Repeat("\n", handlerFileLines-1), 0},
		{"file over the limit", "func f(r *request) {}" + strings.Repeat("\n", handlerFileLines), 1},
		{"imports at the limit", imports(handlerFileImports) + "func f(r *request) {}", 0},
		{"imports over the limit", imports(handlerFileImports+1) + "func f(r *request) {}", 1},
		{"a package without handlers", "func f() {}", 1},
	} {
		files, err := load(fstest.MapFS{"webhook/a.go": {Data: []byte("package webhook\n" + c.src)}, "go.mod": {}})
		if err != nil {
			t.Fatal(err)
		}
		if got := breaksHandlers(files, []string{"webhook"}); len(got) != c.broken {
			t.Errorf("%s: got %q, want %d", c.name, got, c.broken)
		}
	}
}
