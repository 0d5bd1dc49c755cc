package arch

import (
	"fmt"
	"go/ast"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// named is a test in SECURITY.md: its package, function, and one of a suite's.
var named = regexp.MustCompile("`([a-z][a-z0-9/-]*) (Test\\w+)(?:/([\\w-]+))?`")

// threats returns the rows of the page's tables of threats.
func threats(page string) (rows []string) {
	_, page, _ = strings.Cut(page, "\n## Threats\n")
	for line := range strings.Lines(page) {
		if cells := strings.Split(line, "|"); len(cells) > 1 && !strings.HasPrefix(line, "| threat |") && !strings.HasPrefix(line, "|---") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	return rows
}

// breaksSecurity finds threats without a test that exists.
func breaksSecurity(page string, files []source) (broken []string) {
	functions, suites := map[string]bool{}, map[string]bool{}
	for _, f := range files {
		if !strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				functions[path.Dir(f.path)+" "+fn.Name.Name] = true
			}
		}
		// The suites are tables of a name and a function.
		ast.Inspect(f.ast, func(n ast.Node) bool {
			row, ok := n.(*ast.CompositeLit)
			if !ok || len(row.Elts) != 2 {
				return true
			}
			name, isName := row.Elts[0].(*ast.BasicLit)
			if _, isFunc := row.Elts[1].(*ast.Ident); isName && isFunc {
				suites[path.Dir(f.path)+" "+strings.Trim(name.Value, `"`)] = true
			}
			return true
		})
	}
	for _, row := range threats(page) {
		cells := strings.Split(strings.Trim(row, "|"), "|")
		tests := named.FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(cells) != 3 || len(tests) == 0 || len(tests) != strings.Count(cells[len(cells)-1], "`")/2 {
			broken = append(broken, fmt.Sprintf("%s: must have a threat, a defense, and tests in the form `package TestName`", row))
		}
		for _, m := range tests {
			if pkg, function, part := m[1], m[2], m[3]; !functions[pkg+" "+function] || part != "" && !suites[pkg+" "+part] {
				broken = append(broken, fmt.Sprintf("%s: there is no such test", m[0]))
			}
		}
	}
	return broken
}

// TestThreatsHaveTests: every threat in SECURITY.md has a test that exists.
func TestThreatsHaveTests(t *testing.T) {
	page, err := os.ReadFile(root + "/SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, sentence := range breaksSecurity(string(page), files) {
		t.Error(sentence)
	}
	if n := len(threats(string(page))); n < 30 {
		t.Errorf("SECURITY.md has %d threats: the test does not find its tables", n)
	}
	const head = "# Security\n\n| no | threat |\n\n## Threats\n\n| threat | defense | tests |\n|---|---|---|\n"
	for row, want := range map[string]string{
		"| a | b | `test/arch TestThreatsHaveTests`, `test/attack TestAttack/slow` |": "",
		"| a | b | `test/arch TestNothing` |":                                         "no such test",
		"| a | b | `test/attack TestAttack/nothing` |":                                "no such test",
		"| a | b | TestThreatsHaveTests |":                                            "must have a threat",
		"| a | `test/arch TestThreatsHaveTests` |":                                    "must have a threat",
		"| a | b | `test/arch TestThreatsHaveTests`, `other` |":                       "must have a threat",
	} {
		got := breaksSecurity(head+row+"\n", files)
		if want == "" && len(got) > 0 || want != "" && !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("%s: got %q, want %q", row, got, want)
		}
	}
}
