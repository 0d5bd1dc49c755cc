package manifest

import (
	"slices"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/inject"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// result is the result of one chunk.
type result struct {
	text      string // the new text
	changed   bool   // text replaces the chunk's
	generated bool   // text replaces its byte order mark too: it is not of the stream
	objects   []Object
	others    []Other
	problems  problem.List
}

// transformer transforms one chunk.
type transformer struct {
	c        *chunk
	o        *Options
	mem      *arena
	fallback *fallbackDocument // nil when the document was parsed with positions
	out      result
	expanded int     // values that aliases have added to the document
	want     []*node // the intended roots
	root     int     // index of the root that is being processed
	implied  kinds   // of objects without their own

	patches []byte // the lines of Format Patches
}

// found is an object of the document: a root, or an item of a List.
type found struct {
	path []string // keys and indexes from the root
	node *node
}

func transform(c *chunk, o *Options, a *arena) result {
	defer a.reset()
	t := &transformer{c: c, o: o, mem: a, out: result{generated: o.Format != Text}}
	if c.number == 0 {
		return t.out
	}
	if c.problem != nil {
		p := *c.problem
		t.out.problems.Add(p.In(o.File).At(t.place("")))
		return t.out
	}
	doc := t.read()
	if doc == nil {
		return t.out
	}
	t.want = slices.Clone(doc.roots)
	for i, root := range doc.roots {
		t.root = i
		t.want[i] = t.objects(found{node: root})
	}
	if len(t.out.problems) == 0 {
		t.write(doc)
	}
	return t.out
}

// read parses the document: with positions where the parser supports it, else with
// the libraries of fallback.go.
func (t *transformer) read() *document {
	if !t.c.directive {
		if doc := t.mem.parse(string(t.c.text), t.c.from); doc != nil {
			return doc
		}
		if t.mem.problem != nil {
			t.unreadable(t.mem.problem)
			return nil
		}
	}
	fallback, problem := t.mem.readFallback(t.c.forYAML())
	if problem != nil {
		t.unreadable(problem)
		return nil
	}
	t.fallback = fallback
	return fallback.doc
}

// objects transforms an object, or those of a List, and returns the intended one: the
// same node where nothing changes.
func (t *transformer) objects(f found) *node {
	n := f.node.resolved()
	if n.kind == sequenceKind {
		t.list(n)
	}
	if n.kind != mappingKind {
		return f.node
	}
	items := n.get("items")
	if items == nil || items.kind != sequenceKind || !strings.HasSuffix(n.str("kind"), "List") {
		return t.object(f, n)
	}
	outer := t.implied
	t.implied = kinds{apiVersion: n.str("apiVersion"), kind: strings.TrimSuffix(n.str("kind"), "List")}
	defer func() { t.implied = outer }()
	want := slices.Clone(items.items)
	for i, item := range want {
		path := append(slices.Clone(f.path), "items", strconv.Itoa(i))
		want[i] = t.objects(found{path: path, node: item})
	}
	if slices.Equal(want, items.items) {
		return f.node
	}
	return replaceAt(n, []string{"items"}, &node{kind: sequenceKind, items: want})
}

// object injects the pod of one object.
func (t *transformer) object(f found, n *node) *node {
	object, err := toJSON(n, &t.expanded)
	if err != nil {
		t.problem(f, problem.Of(err)...)
		return f.node
	}
	templates, err := inject.FindTemplates(t.withKinds(object, n), t.o.Paths)
	if err != nil {
		t.rejected(f, n, "", err)
		return f.node
	}
	if len(templates) == 0 {
		t.other(n)
	}
	want := f.node
	for i := range templates {
		if templates[i].Pod == nil {
			t.incomplete(f, n, &templates[i], len(templates) > 1)
			continue
		}
		want = t.pod(f, n, want, &templates[i], len(templates) > 1)
	}
	return want
}

// pod injects the pod of one template of the object n, and returns want, the intended
// object so far, with the result.
func (t *transformer) pod(f found, n, want *node, template *inject.Template, several bool) *node {
	object := t.result(f, n, template, several)
	if t.o.Whole {
		if why := t.partial(n.at(splitPointer(template.Pointer))); why != "" {
			object.Decision = inject.Decision{Reason: ReasonPartial, Sentence: why}
			t.out.objects = append(t.out.objects, object)
			return want
		}
	}
	result, err := t.o.Injector.Inject(inject.Request{
		Pod: template.Pod, Namespace: template.Namespace, Owner: template.Owner, Claims: template.Claims,
	})
	if err != nil {
		t.rejected(f, n, template.Pointer, err)
		return want
	}
	before := want
	if len(result.Patch) > 0 {
		if want = changed(want.resolved(), template, t.mem.pods.node(t.o.tree(result))); want == nil {
			t.problem(f, problem.Invalid("", "", "internal error: the injected pod does not fit the object", "please report it with this file"))
			return before
		}
		t.patch(n, template, result.Patch)
	}
	object.Decision, object.Changed = result.Decision, want != before
	object.Warnings = t.warnings(template, result.Warnings)
	if t.o.Whole {
		object.Warnings.Add(t.unrenderedValue(n)...)
	}
	t.out.objects = append(t.out.objects, object)
	return want
}

// result is what is known of an object before it is injected.
func (t *transformer) result(f found, n *node, template *inject.Template, several bool) Object {
	if template.Namespace == "" {
		template.Namespace = t.o.Namespace
	}
	object := Object{
		Document: t.c.number + t.root, Line: t.line(f),
		Kind: strings.Clone(t.kinds(n).kind), Namespace: template.Namespace, Name: strings.Clone(objectLabel(n)),
	}
	if several {
		object.Template = dotted(template.Pointer)
	}
	return object
}

// objectLabel is the object's name, or what its name is generated from.
func objectLabel(n *node) string {
	metadata := n.get("metadata")
	if name := metadata.str("name"); name != "" {
		return name
	}
	if prefix := metadata.str("generateName"); prefix != "" {
		return prefix + "*"
	}
	return ""
}

// warnings adds to the pod's warnings those about its workload, of which there are
// some only if it has annotations or labels of the mesh itself.
func (t *transformer) warnings(template *inject.Template, warnings problem.List) problem.List {
	reviewer, ok := t.o.Injector.(workloadReviewer)
	if !ok || template.Pointer == "" || !mentionsMesh(template.Annotations) && !mentionsMesh(template.Labels) {
		return warnings
	}
	return slices.Concat(warnings, reviewer.Review(template, template.Namespace, nil)).WorstFirst()
}

func mentionsMesh(keys map[string]string) bool {
	for key := range keys {
		if strings.Contains(key, "istio.io/") {
			return true
		}
	}
	return false
}

// changed is the intended object: n with metadata and spec of the pod (template) from
// the injected one. It is nil when they do not fit.
func changed(n *node, template *inject.Template, injected *node) *node {
	path := splitPointer(template.Pointer)
	for _, key := range []string{"metadata", "spec"} {
		switch value := injected.get(key); {
		case n == nil:
		case value != nil:
			n = replaceAt(n, append(slices.Clone(path), key), value)
		default: // uninjected: there was none before the injection
			n = replaceAt(n, append(slices.Clone(path), key), absent)
		}
	}
	return n
}

// absent is the value of replaceAt for a key that is to be removed.
var absent = &node{}

func splitPointer(pointer string) []string {
	if pointer == "" {
		return nil
	}
	steps := strings.Split(pointer[1:], "/")
	for i, s := range steps {
		steps[i] = strings.ReplaceAll(strings.ReplaceAll(s, "~1", "/"), "~0", "~")
	}
	return steps
}

// replaceAt is a copy of n in which the value at path is v; what is not on the
// path is shared.
func replaceAt(n *node, path []string, v *node) *node {
	if len(path) == 0 {
		return v
	}
	n = n.resolved()
	out := &node{kind: n.kind}
	switch n.kind {
	case sequenceKind:
		i, err := strconv.Atoi(path[0])
		if err != nil || i >= len(n.items) {
			return nil
		}
		out.items = slices.Clone(n.items)
		out.items[i] = replaceAt(n.items[i], path[1:], v)
		return out
	case mappingKind:
		missing := true
		for _, e := range n.entries() {
			if e.key.text == path[0] {
				missing = false
				if v == absent && len(path) == 1 {
					continue
				}
				e.value = replaceAt(e.value, path[1:], v)
			}
			if e.value == nil {
				return nil
			}
			out.items = append(out.items, e.key, e.value)
		}
		if missing && v == absent {
			return n
		}
		if missing && len(path) == 1 {
			out.items = append(out.items, &node{text: path[0]}, v)
			missing = false
		}
		if missing {
			return nil
		}
		return out
	default:
		return nil
	}
}

// write generates the output for the document.
func (t *transformer) write(doc *document) {
	switch {
	case t.o.Format == JSON:
		t.out.text = t.asJSON()
	case t.o.Format == Patches:
		t.out.text = string(t.patches)
	case !slices.Equal(t.want, doc.roots):
		t.rewrite(doc)
	}
}

// rewrite generates the new text: by edits, or else by rewriting the document.
// Either is parsed again and compared.
func (t *transformer) rewrite(doc *document) {
	t.out.changed = true
	if t.fallback == nil {
		if text, ok := t.edited(doc); ok {
			t.out.text = text
			return
		}
	}
	text, err := t.mem.reencode(t.c, t.fallback, t.want)
	if err != nil {
		t.problem(found{node: doc.roots[0]}, problem.Of(err)...)
		return
	}
	t.out.text = text
}

// edited is the document with its text edited.
func (t *transformer) edited(doc *document) (string, bool) {
	e := newEditor(doc, t.mem.edits[:0])
	for i, root := range doc.roots {
		e.detectDashes(root)
		e.diff(root, t.want[i], slot{})
	}
	for _, root := range doc.roots {
		e.expandAliases(root, slot{})
	}
	text, ok := e.result()
	t.mem.edits = e.out
	if !ok {
		return "", false
	}
	again := t.mem.parse(text, t.c.from)
	return text, again != nil && slices.EqualFunc(again.roots, t.want, equal)
}

// line is the line in the file of the value at path, or as near as is known.
func (t *transformer) line(f found, path ...string) int {
	if t.fallback != nil {
		return t.c.line - 1 + t.fallback.line(slices.Concat(f.path, path))
	}
	n := f.node.resolved()
	at := n.start
	for _, key := range path {
		if n.kind != mappingKind {
			break
		}
		for _, e := range n.entries() {
			if e.key.text == key {
				at, n = e.key.start, e.value.resolved()
				break
			}
		}
	}
	return t.c.lineOf(at)
}
