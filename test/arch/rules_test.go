package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// Every rule takes the module's files and returns what breaks it, one sentence
// a place. Test files are free: what they import does not ship.

func breaksDirections(files []source) (broken []string) {
	for _, f := range files {
		r, ok := packageOf(f.dir())
		if !ok {
			broken = append(broken, fmt.Sprintf("%s: %s is in no listed package: move it, or add an entry to test/arch/packages_test.go", f.path, f.dir()))
			continue
		}
		if f.test || r.kind == tool {
			continue
		}
		for _, imp := range f.imports() {
			dir, ours := strings.CutPrefix(imp.pkg, module+"/")
			if !ours || within(imp.pkg, module+"/"+r.path) && samePackage(dir, r) {
				continue
			}
			target, _ := packageOf(dir)
			if allowed := reach(r); !slices.Contains(allowed, target.path) {
				broken = append(broken, fmt.Sprintf("%s: %s imports %s, but may import only [%s]: %s",
					imp.at, r.path, dir, strings.Join(allowed, " "), r.why))
			}
		}
	}
	return broken
}

func samePackage(dir string, r packageRule) bool {
	other, _ := packageOf(dir)
	return other.path == r.path
}

func breaksPurity(files []source, excepted func(file, what string) bool) (broken []string) {
	for _, f := range files {
		r, _ := packageOf(f.dir())
		if f.test || r.kind != pure && r.kind != data {
			continue
		}
		for _, imp := range f.imports() {
			for _, b := range pureBans {
				if within(imp.pkg, b.pkg) && !hits(imp.pkg, b.except) && !excepted(f.path, imp.pkg) {
					broken = append(broken, fmt.Sprintf("%s: %s is pure and imports %s: %s", imp.at, r.path, imp.pkg, b.why))
				}
			}
		}
		broken = append(broken, impureUses(f, r, excepted)...)
		broken = append(broken, packageState(f, r)...)
		broken = append(broken, systemConstraints(f, r)...)
	}
	return broken
}

// impureUses finds uses of impureCalls and of the built-in print functions.
func impureUses(f source, r packageRule, excepted func(file, what string) bool) (broken []string) {
	named := map[string]string{} // name in this file -> package
	for _, imp := range f.imports() {
		named[imp.name] = imp.pkg
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		pkg := named[x.Name]
		why, banned := impureCalls[pkg][sel.Sel.Name]
		if what := pkg + "." + sel.Sel.Name; banned && !excepted(f.path, what) {
			broken = append(broken, fmt.Sprintf("%s: %s is pure and uses %s: %s", f.at(sel.Pos()), r.path, what, why))
		}
		return true
	})
	return broken
}

// packageState finds init functions and package-level variables that are there
// to be changed.
func packageState(f source, r packageRule) (broken []string) {
	named := map[string]string{}
	for _, imp := range f.imports() {
		named[imp.name] = imp.pkg
	}
	const why = "a pure package has no package state: keep it in a value that the caller holds"
	for _, d := range f.ast.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			broken = append(broken, fmt.Sprintf("%s: %s is pure and has an init function: %s", f.at(fn.Pos()), r.path, why))
		}
		gen, ok := d.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			typ := spec.(*ast.ValueSpec).Type
			if generic, ok := typ.(*ast.IndexExpr); ok {
				typ = generic.X
			}
			sel, ok := typ.(*ast.SelectorExpr)
			if !ok {
				continue
			}
			x, ok := sel.X.(*ast.Ident)
			if ok && slices.Contains(stateTypes[named[x.Name]], sel.Sel.Name) {
				broken = append(broken, fmt.Sprintf("%s: %s is pure and has a variable of type %s.%s: %s", f.at(spec.Pos()), r.path, x.Name, sel.Sel.Name, why))
			}
		}
	}
	return broken
}

// systemConstraints finds files that some systems do not build.
func systemConstraints(f source, r packageRule) (broken []string) {
	const why = "a pure package builds and behaves alike on every system"
	stem := strings.TrimSuffix(path.Base(f.path), ".go")
	for _, system := range []string{"linux", "darwin", "windows", "unix", "amd64", "arm64"} {
		if strings.HasSuffix(stem, "_"+system) {
			broken = append(broken, fmt.Sprintf("%s: %s is pure and has a file for %s alone: %s", f.path, r.path, system, why))
		}
	}
	for _, group := range f.ast.Comments {
		for _, c := range group.List {
			if c.Pos() < f.ast.Package && strings.HasPrefix(c.Text, "//go:build") && c.Text != "//go:build ignore" {
				broken = append(broken, fmt.Sprintf("%s: %s is pure and has a build constraint: %s", f.at(c.Pos()), r.path, why))
			}
		}
	}
	return broken
}

func breaksFences(files []source, excepted func(file, what string) bool) (broken []string) {
	for _, f := range files {
		r, _ := packageOf(f.dir())
		if f.test || r.kind == tool {
			continue
		}
		for _, imp := range f.imports() {
			for _, fence := range fences {
				inside := slices.Contains(fence.kinds, r.kind) || slices.Contains(fence.packages, r.path)
				if hits(imp.pkg, fence.pkgs) && !inside && !excepted(f.path, imp.pkg) {
					broken = append(broken, fmt.Sprintf("%s: %s is not allowed to import %s: %s", imp.at, r.path, imp.pkg, fence.why))
				}
			}
		}
	}
	return broken
}

// breaksInit follows the init container's binary through the module and finds
// what it would link that it must not.
func breaksInit(files []source) (broken []string) {
	todo, seen := []string{"cmd/outrider-init"}, map[string]bool{}
	for len(todo) > 0 {
		dir := todo[0]
		todo = todo[1:]
		if seen[dir] {
			continue
		}
		seen[dir] = true
		for _, f := range files {
			if f.dir() != dir || f.test {
				continue
			}
			for _, imp := range f.imports() {
				if next, ours := strings.CutPrefix(imp.pkg, module+"/"); ours {
					todo = append(todo, next)
				}
				if hits(imp.pkg, initBans) {
					broken = append(broken, fmt.Sprintf("%s: the init binary would link %s: it is a few megabytes without dependencies on Kubernetes", imp.at, imp.pkg))
				}
			}
		}
	}
	return broken
}

// breaksSize returns what is over a limit, and what is only over a budget.
func breaksSize(files []source) (broken, over []string) {
	note := func(lines, budget, limit int, place, what string) {
		switch {
		case lines > limit:
			broken = append(broken, fmt.Sprintf("%s: %s has %d lines, the limit is %d: break it into named steps", place, what, lines, limit))
		case lines > budget:
			over = append(over, fmt.Sprintf("%s: %s has %d lines, the budget is %d", place, what, lines, budget))
		}
	}
	for _, f := range files {
		if f.test || ast.IsGenerated(f.ast) {
			continue
		}
		note(f.lines, fileBudget, fileLimit, f.path, "the file")
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				lines := f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line + 1
				note(lines, funcBudget, funcLimit, f.at(fn.Pos()), fn.Name.Name)
			}
		}
	}
	return broken, over
}

// stalePackages finds rules about directories that are gone.
func stalePackages(files []source) (broken []string) {
	for _, r := range packageRules {
		built := slices.ContainsFunc(files, func(f source) bool {
			in, _ := packageOf(f.dir())
			return in.path == r.path
		})
		if !built && !r.unbuilt {
			broken = append(broken, fmt.Sprintf("%s: has no Go code, so its rules guard nothing: was it renamed?", r.path))
		}
		for _, name := range r.may {
			if !known(name) {
				broken = append(broken, fmt.Sprintf("%s: may import %s, which is not listed", r.path, name))
			}
		}
	}
	for _, fence := range fences {
		for _, name := range fence.packages {
			if !known(name) {
				broken = append(broken, fmt.Sprintf("the fence of %s names %s, which is not listed", fence.pkgs[0], name))
			}
		}
	}
	return broken
}

func known(name string) bool {
	return slices.ContainsFunc(packageRules, func(r packageRule) bool { return r.path == name })
}
