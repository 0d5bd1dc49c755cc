package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// source is one Go file.
type source struct {
	path  string // in the module, with slashes
	test  bool
	lines int
	ast   *ast.File
	fset  *token.FileSet
}

// dir is the directory of the file's package.
func (s source) dir() string { return path.Dir(s.path) }

// at is the place of a node in the file.
func (s source) at(p token.Pos) string {
	return fmt.Sprintf("%s:%d", s.path, s.fset.Position(p).Line)
}

// imported is one import of a file: its path, the name it has in the file, and
// where.
type imported struct {
	pkg, name string
	at        string
}

func (s source) imports() []imported {
	list := make([]imported, 0, len(s.ast.Imports))
	for _, spec := range s.ast.Imports {
		pkg, _ := strconv.Unquote(spec.Path.Value) // the parser has checked it
		name := path.Base(pkg)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		list = append(list, imported{pkg, name, s.at(spec.Pos())})
	}
	return list
}

// load parses all Go files of a module. Modules inside it are not part of it.
func load(module fs.FS) ([]source, error) {
	var files []source
	fset := token.NewFileSet()
	err := fs.WalkDir(module, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && (skipped(d.Name()) || hasGoMod(module, name)) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		data, err := fs.ReadFile(module, name)
		if err != nil {
			return err
		}
		tree, err := parser.ParseFile(fset, name, data, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, source{name, strings.HasSuffix(name, "_test.go"), bytes.Count(data, []byte("\n")), tree, fset})
		return nil
	})
	return files, err
}

// skipped names the directories that the go command does not look into.
func skipped(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "vendor"
}

func hasGoMod(module fs.FS, dir string) bool {
	_, err := fs.Stat(module, path.Join(dir, "go.mod"))
	return err == nil
}

// packageOf finds the innermost package a directory belongs to.
func packageOf(dir string) (packageRule, bool) {
	var best packageRule
	for _, r := range packageRules {
		if within(dir, r.path) && len(r.path) > len(best.path) {
			best = r
		}
	}
	return best, best.path != ""
}

// within reports whether a slash-separated path is top or below it.
func within(p, top string) bool { return p == top || strings.HasPrefix(p, top+"/") }

// hits reports whether an import is one of the listed packages or below one.
func hits(pkg string, list []string) bool {
	return slices.ContainsFunc(list, func(top string) bool { return within(pkg, top) })
}

// reach lists all that a package may import: its own list, and theirs.
func reach(r packageRule) []string {
	var all []string
	todo := slices.Clone(r.may)
	for len(todo) > 0 {
		next := todo[0]
		todo = todo[1:]
		if slices.Contains(all, next) {
			continue
		}
		all = append(all, next)
		for _, other := range packageRules {
			if other.path == next {
				todo = append(todo, other.may...)
			}
		}
	}
	slices.Sort(all)
	return all
}
