package manifest

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// unreadable adds a problem of the document's text.
func (t *transformer) unreadable(p *problem.Problem) {
	p = t.unrendered(p)
	p.Source, p.Path = t.o.File, t.place("")
	p.Line += t.c.line - 1
	t.out.problems.Add(*p)
}

// place names the document, and an object in it, in problems.
func (t *transformer) place(object string) string {
	place := "document " + strconv.Itoa(t.c.number+t.root)
	if object != "" {
		place += " (" + object + ")"
	}
	return place
}

// problem adds problems of an object.
func (t *transformer) problem(f found, problems ...problem.Problem) {
	for _, p := range problems {
		t.problemAt(f, p)
	}
}

// problemAt adds a problem of an object, at the value at path within it.
func (t *transformer) problemAt(f found, p problem.Problem, path ...string) {
	place := t.place(t.name(f.node.resolved()))
	if p.Path != "" {
		place += ": " + p.Path
	}
	t.out.problems.Add(p.In(t.o.File).On(t.line(f, path...), 0).At(place))
}

// rejected adds the injector's problems, each at its annotation or label, or at its
// value.
func (t *transformer) rejected(f found, n *node, pointer string, err error) {
	var rejection *inject.Error
	if !errors.As(err, &rejection) {
		t.problem(f, problem.Of(err)...)
		return
	}
	template := splitPointer(pointer)
	metadata := n.at(append(slices.Clone(template), "metadata"))
	for i, p := range rejection.Problems {
		if i < len(rejection.Places) {
			t.problemOf(f, n, p, append(slices.Clone(template), rejection.Places[i]...), dotted(pointer))
			continue
		}
		if field, key := keyOf(metadata, p); key != "" {
			t.problemAt(f, p, append(slices.Clone(template), "metadata", field, key)...)
		} else if v := n.value(append(slices.Clone(template), specPath(p.Path)...)); v != nil && strings.HasPrefix(p.Path, "spec.") && t.fallback == nil {
			line := t.c.lineOf(min(v.start, len(t.c.text)))
			t.out.problems.Add(p.In(t.o.File).On(line, 0).At(t.place(t.name(n)) + ": " + p.Path))
		} else {
			t.problemAt(f, p)
		}
	}
}

// problemOf adds a problem of the value at path, which is shown as the document has it.
func (t *transformer) problemOf(f found, n *node, p problem.Problem, path []string, template string) {
	if template != "" {
		p.Path = strings.TrimSuffix(template+"."+p.Path, ".")
	}
	place := t.place(t.name(n))
	if p.Path != "" {
		place += ": " + p.Path
	}
	line, column := t.line(f, path...), 0
	if v := n.value(path); v != nil && t.fallback == nil {
		at := min(v.start, len(t.c.text))
		line, column = t.c.lineOf(at), at-bytes.LastIndexByte(t.c.text[:at], '\n')
		if v.kind == scalarKind && v.style == plainStyle && v.tag != nullTag {
			p.Value = problem.Short(string(t.c.text[v.start:v.end]))
		}
	}
	t.out.problems.Add(p.In(t.o.File).On(line, column).At(place))
}

// specPath are the keys of a problem's path such as spec.containers[0].name; nil for
// others.
func specPath(path string) []string {
	if !strings.HasPrefix(path, "spec.") {
		return nil
	}
	return strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune(".[]", r) })
}

// keyOf is the annotation or label key of a pod's metadata that a problem is about.
func keyOf(metadata *node, p problem.Problem) (field, key string) {
	for _, name := range []string{"annotations", "labels"} {
		keys := metadata.get(name)
		if keys == nil || keys.kind != mappingKind {
			continue
		}
		for _, e := range keys.entries() {
			if p.Path == annotation.Path(e.key.text, name == "labels") {
				return name, e.key.text
			}
		}
	}
	return "", ""
}

// name names an object: "Deployment default/sleep".
func (t *transformer) name(n *node) string {
	namespace := n.get("metadata").str("namespace")
	if namespace == "" {
		namespace = t.o.Namespace
	}
	return objectName(t.kinds(n).kind, namespace, objectLabel(n))
}
