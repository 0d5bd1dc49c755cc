package manifest

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// Other is the objects of one kind that have pod templates, or look like one of the
// built-in kinds, but are not read as such.
type Other struct {
	Document int    // 1-based position of the first of them
	Object   string // the first of them: "CloneSet shop/web"
	Problem  problem.Problem
	Count    int
}

// maxOthers bounds the kinds in a report.
const maxOthers = 20

// Merge adds others to a list, by what is to be done about them. The list is bounded.
func Merge(list []Other, others ...Other) []Other {
	for _, o := range others {
		i := slices.IndexFunc(list, func(p Other) bool { return p.Problem == o.Problem })
		switch {
		case i >= 0:
			list[i].Count += o.Count
		case len(list) < maxOthers:
			list = append(list, o)
		}
	}
	return list
}

// other records an object of a kind that is not injected.
func (t *transformer) other(n *node) {
	of := t.kinds(n)
	apiVersion, kind := of.apiVersion, of.kind
	if kind == "" {
		return
	}
	o := Other{Document: t.c.number + t.root, Object: t.name(n), Count: 1}
	id := kind
	if group, _, ok := strings.Cut(apiVersion, "/"); ok {
		id += "." + group
	}
	paths := t.templates(n)
	if p, ok := t.misspelt(n, of, len(paths) > 0); ok {
		o.Problem = p
		t.out.others = append(t.out.others, o)
		return
	}
	if len(paths) == 0 {
		return
	}
	o.Problem = problem.Invalid("", "", "kind "+id+" is not built in", "")
	var flags, lists []string
	for _, path := range paths {
		if strings.Contains(path, "[") {
			lists = append(lists, path)
			continue
		}
		flags = append(flags, "--pod-template-path "+id+"="+path)
	}
	switch {
	case len(flags) > 0:
		o.Problem.Fix = "use " + strings.Join(flags, " ")
	case kind == "Template":
		o.Problem.Fix = "process the template first: oc process -f FILE | outrider kube-inject -f -"
	default:
		o.Problem.Fix = "inject its pods with the webhook: --pod-template-path has no path into a list (" + lists[0] + ")"
	}
	t.out.others = append(t.out.others, o)
}

// misspelt is the problem of an API version or kind that is close to a built-in one.
func (t *transformer) misspelt(n *node, of kinds, pods bool) (problem.Problem, bool) {
	unknown := fmt.Sprintf("kind %s in apiVersion %s is unknown", problem.Quote(of.kind), problem.Quote(of.apiVersion))
	if spelling := inject.Spelling(of.apiVersion, of.kind); spelling != "" && !action.MatchString(of.apiVersion) {
		return problem.Invalid("", "", unknown, "use "+spelling), true
	}
	pods = pods || bytes.Contains(t.c.text, []byte("containers")) && action.MatchString(of.kind+of.apiVersion)
	if !pods {
		return problem.Problem{}, false
	}
	const items = "a List has its objects in a list of items"
	switch {
	case action.MatchString(of.kind):
		return problem.Invalid("", "", "kind "+problem.Quote(of.kind)+" is an unrendered template", renderFirst), true
	case action.MatchString(of.apiVersion):
		return problem.Invalid("", "", "apiVersion "+problem.Quote(of.apiVersion)+" is an unrendered template", renderFirst), true
	case of.kind == "List" && n.get("items") != nil:
		return problem.Invalid("", "", items, "write - before each"), true
	case of.kind == "List" && n.get("Items") != nil:
		return problem.Invalid("", "", items, "use items instead of Items"), true
	case strings.EqualFold(of.kind, "List"):
		return problem.Invalid("", "", unknown, "use kind: List"), true
	}
	if spelling := inject.NearestKind(of.apiVersion, of.kind); spelling != "" {
		return problem.Invalid("", "", unknown, "use "+spelling), true
	}
	return problem.Problem{}, false
}

// list records a list of objects at the top level.
func (t *transformer) list(n *node) {
	for _, item := range n.items {
		if item.str("apiVersion") != "" && item.str("kind") != "" {
			t.out.others = append(t.out.others, Other{
				Document: t.c.number + t.root, Object: t.name(item), Count: 1,
				Problem: problem.Invalid("", "", "a list of objects is not an object", "separate the objects with lines \"---\", or use kind: List"),
			})
			return
		}
	}
}

const (
	maxTemplates = 4      // named in a message
	maxVisited   = 20_000 // values looked at for them, aliases followed
)

// templates are the paths of the pod templates in an object: where there are
// containers in a spec.
func (t *transformer) templates(n *node) []string {
	if !bytes.Contains(t.c.text, []byte("containers")) {
		return nil
	}
	s := templateSearch{budget: maxVisited}
	s.visit(n, nil)
	return s.found
}

type templateSearch struct {
	found  []string
	budget int
}

func (s *templateSearch) visit(n *node, path []string) {
	n = n.resolved()
	if s.budget--; s.budget < 0 || len(path) > maxDepth {
		return
	}
	if n.kind == sequenceKind {
		for i, item := range n.items {
			s.visit(item, append(path, "["+strconv.Itoa(i)+"]"))
		}
		return
	}
	if n.kind != mappingKind {
		return
	}
	if len(path) > 0 && isContainers(n.get("spec").get("containers")) {
		if len(s.found) < maxTemplates {
			s.found = append(s.found, strings.ReplaceAll(strings.Join(path, "."), ".[", "["))
		}
		return
	}
	for _, e := range n.entries() {
		s.visit(e.value, append(path, e.key.text))
	}
}

// isContainers reports whether a value is a list of containers.
func isContainers(n *node) bool {
	if n == nil || n.kind != sequenceKind || len(n.items) == 0 {
		return false
	}
	first := n.items[0].resolved()
	return first.kind == mappingKind && (first.get("image") != nil || first.get("name") != nil)
}
