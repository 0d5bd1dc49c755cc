package manifest

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/inject"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// ReasonPartial is the reason for which a part of an object, such as a patch, is
// skipped.
const ReasonPartial inject.Reason = "partial"

// incomplete reports a template that is not there: of a patch, it is in the object that
// the patch changes.
func (t *transformer) incomplete(f found, n *node, template *inject.Template, several bool) {
	path := dotted(template.Pointer)
	if elsewhere := t.templates(n); len(elsewhere) > 0 && t.isCustom(n) {
		t.problem(f, problem.Invalid(path, "", "pod template not found; it is at "+strings.Join(elsewhere, ", "), "correct --pod-template-path"))
		return
	}
	object := t.result(f, n, template, several)
	object.Decision = inject.Decision{Reason: ReasonPartial, Sentence: "no pod template at " + path + ", as in a patch"}
	t.out.objects = append(t.out.objects, object)
}

// isCustom reports whether an object is of a kind of Options.Paths.
func (t *transformer) isCustom(n *node) bool {
	of := t.kinds(n)
	id := of.kind
	if group, _, ok := strings.Cut(of.apiVersion, "/"); ok {
		id = group + "/" + id
	}
	return len(t.o.Paths[id]) > 0
}

// partial is why a pod template is not a whole one; empty for a whole one. An object
// without it is a patch, or the API server rejects it.
func (t *transformer) partial(pod *node) string {
	spec := pod.get("spec")
	switch {
	case spec == nil || spec.kind == scalarKind && spec.tag == nullTag:
		return "the pod has no spec, as in a patch"
	case spec.kind != mappingKind:
		return "" // of the wrong type
	}
	for _, list := range []string{"containers", "initContainers"} {
		containers := spec.get(list)
		if containers == nil || containers.kind != sequenceKind {
			continue
		}
		for i, c := range containers.items {
			if why := partialContainer(c.resolved(), list+"["+strconv.Itoa(i)+"]"); why != "" {
				return why
			}
		}
	}
	if directive(spec) != "" {
		return "the pod's spec has a patch directive"
	}
	if bytes.Contains(t.c.text, []byte("$")) {
		if key := (&directiveSearch{maxVisited}).find(pod, 0); key != "" {
			return "the pod has a patch directive (" + problem.Short(key) + ")"
		}
	}
	return ""
}

// partialContainer is why a container at a place is not a whole one.
func partialContainer(c *node, place string) string {
	if c.kind == scalarKind && c.tag == nullTag {
		return place + " is empty"
	}
	if c.kind != mappingKind {
		return ""
	}
	name := c.str("name")
	if name != "" {
		place = "container " + problem.Quote(name)
	}
	if directive(c) != "" {
		return place + " has a patch directive"
	}
	image := c.get("image")
	none := image == nil || image.kind == scalarKind && (image.tag == nullTag || image.text == "")
	if none && !slices.Contains(injected, name) {
		return place + " has no image, as in a patch"
	}
	return ""
}

// injected are the containers whose image the injection adds.
var injected = []string{"istio-proxy", "istio-init"}

// directives are the keys of a strategic merge patch that are no fields.
var directives = []string{"$patch", "$retainKeys", "$setElementOrder/", "$deleteFromPrimitiveList/"}

// directive is a directive of a strategic merge patch among the keys of a mapping.
func directive(n *node) string {
	n = n.resolved()
	if n.kind != mappingKind {
		return ""
	}
	for _, e := range n.entries() {
		if strings.HasPrefix(e.key.text, "$") && slices.ContainsFunc(directives, func(d string) bool { return strings.HasPrefix(e.key.text, d) }) {
			return e.key.text
		}
	}
	return ""
}

type directiveSearch struct{ budget int }

func (s *directiveSearch) find(n *node, depth int) string {
	n = n.resolved()
	if s.budget--; s.budget < 0 || depth > maxDepth {
		return ""
	}
	if key := directive(n); key != "" {
		return key
	}
	for _, v := range n.items { // of a mapping, keys and values
		if key := s.find(v, depth+1); key != "" {
			return key
		}
	}
	return ""
}

// dotted is a JSON pointer as a path.
func dotted(pointer string) string {
	return strings.ReplaceAll(strings.TrimPrefix(pointer, "/"), "/", ".")
}
