// Package literals finds the texts in Go test files, so that a test can use the inputs of
// all others.
package literals

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/test/kit"
)

// Text is a text of a test file.
type Text struct{ Place, Value string }

// Of are the texts of the test files in a directory: literals, constants, concatenations of
// them, and calls of functions that return such a concatenation, each once.
func Of(t testing.TB, dir string) []Text {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	kit.Must(t, err)
	files, fset := map[string]*ast.File{}, token.NewFileSet()
	e := evaluator{constants: map[string]ast.Expr{}, functions: map[string]*ast.FuncLit{}}
	for _, name := range names {
		text, err := os.ReadFile(name)
		kit.Must(t, err)
		files[name], err = parser.ParseFile(fset, name, text, 0)
		kit.Must(t, err)
		e.declare(files[name])
	}
	var out []Text
	seen := map[string]bool{}
	for _, name := range names {
		ast.Inspect(files[name], func(n ast.Node) bool {
			x, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			value, ok := e.text(x, nil, 0)
			if ok && !seen[value] {
				seen[value] = true
				at := fset.Position(x.Pos())
				out = append(out, Text{filepath.Base(dir) + "/" + filepath.Base(name) + ":" + strconv.Itoa(at.Line), value})
			}
			return true
		})
	}
	return out
}

// Rows are the values of the fields of the composite literals that a variable is initialized
// with; a field that is no text is empty.
func Rows(t testing.TB, dir, variable string) [][]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	kit.Must(t, err)
	var out [][]string
	e := evaluator{constants: map[string]ast.Expr{}, functions: map[string]*ast.FuncLit{}}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		kit.Must(t, err)
		e.declare(file)
		table, ok := e.constants[variable].(*ast.CompositeLit)
		if !ok || len(out) > 0 {
			continue
		}
		for _, x := range table.Elts {
			row, ok := x.(*ast.CompositeLit)
			if !ok {
				continue
			}
			var values []string
			for _, field := range row.Elts {
				value, _ := e.text(field, nil, 0)
				values = append(values, value)
			}
			out = append(out, values)
		}
	}
	return out
}

// evaluator evaluates expressions whose value is a text, by names alone: of two constants of
// one name in different functions, either is taken.
type evaluator struct {
	constants map[string]ast.Expr
	functions map[string]*ast.FuncLit
}

func (e *evaluator) declare(file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch d := n.(type) {
		case *ast.ValueSpec:
			for i, name := range d.Names {
				if i < len(d.Values) {
					e.name(name, d.Values[i])
				}
			}
		case *ast.AssignStmt:
			for i, left := range d.Lhs {
				if name, ok := left.(*ast.Ident); ok && d.Tok == token.DEFINE && len(d.Lhs) == len(d.Rhs) {
					e.name(name, d.Rhs[i])
				}
			}
		case *ast.FuncDecl:
			if d.Recv == nil && d.Body != nil {
				e.functions[d.Name.Name] = &ast.FuncLit{Type: d.Type, Body: d.Body}
			}
		}
		return true
	})
}

func (e *evaluator) name(name *ast.Ident, value ast.Expr) {
	if f, ok := value.(*ast.FuncLit); ok {
		e.functions[name.Name] = f
		return
	}
	e.constants[name.Name] = value
}

// maxDepth bounds the names that refer to one another.
const maxDepth = 12

// text is the value of an expression, with those of parameters.
func (e *evaluator) text(x ast.Expr, with map[string]string, depth int) (string, bool) {
	if depth > maxDepth {
		return "", false
	}
	switch x := x.(type) {
	case *ast.BasicLit:
		if x.Kind != token.STRING {
			return "", false
		}
		value, err := strconv.Unquote(x.Value)
		return value, err == nil
	case *ast.ParenExpr:
		return e.text(x.X, with, depth+1)
	case *ast.BinaryExpr:
		left, ok := e.text(x.X, with, depth+1)
		right, also := e.text(x.Y, with, depth+1)
		return left + right, ok && also && x.Op == token.ADD
	case *ast.Ident:
		if value, ok := with[x.Name]; ok {
			return value, true
		}
		if value, ok := e.constants[x.Name]; ok {
			return e.text(value, with, depth+1)
		}
	case *ast.CallExpr:
		return e.call(x, with, depth)
	}
	return "", false
}

// call is the value of a call of strings.Repeat, or of a function that only returns a text.
func (e *evaluator) call(x *ast.CallExpr, with map[string]string, depth int) (string, bool) {
	if f, ok := x.Fun.(*ast.SelectorExpr); ok {
		return e.repeated(f, x.Args, with, depth)
	}
	name, ok := x.Fun.(*ast.Ident)
	if !ok || e.functions[name.Name] == nil {
		return "", false
	}
	f := e.functions[name.Name]
	if len(f.Body.List) != 1 {
		return "", false
	}
	result, ok := f.Body.List[0].(*ast.ReturnStmt)
	if !ok || len(result.Results) != 1 {
		return "", false
	}
	bound, at := map[string]string{}, 0
	for _, parameter := range f.Type.Params.List {
		for _, name := range parameter.Names {
			if at >= len(x.Args) {
				return "", false
			}
			if value, ok := e.text(x.Args[at], with, depth+1); ok {
				bound[name.Name] = value
			}
			at++
		}
	}
	return e.text(result.Results[0], bound, depth+1)
}

func (e *evaluator) repeated(f *ast.SelectorExpr, args []ast.Expr, with map[string]string, depth int) (string, bool) {
	of, ok := f.X.(*ast.Ident)
	if !ok || of.Name != "strings" || f.Sel.Name != "Repeat" || len(args) != 2 {
		return "", false
	}
	text, ok := e.text(args[0], with, depth+1)
	number, isNumber := args[1].(*ast.BasicLit)
	if !ok || !isNumber {
		return "", false
	}
	n, err := strconv.Atoi(number.Value)
	return strings.Repeat(text, min(max(n, 0), 10_000)), err == nil
}
