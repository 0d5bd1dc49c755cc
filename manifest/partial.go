package manifest

import (
	"slices"
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
	id := n.str("kind")
	if group, _, ok := strings.Cut(n.str("apiVersion"), "/"); ok {
		id = group + "/" + id
	}
	return len(t.o.Paths[id]) > 0
}

// partial is why a pod template is not a whole one; empty for a whole one. An object
// without it is a patch, or the API server rejects it.
func partial(pod *node) string {
	spec := pod.get("spec")
	if spec == nil || spec.kind != mappingKind {
		return "the pod has no spec, as in a patch"
	}
	for _, list := range []string{"containers", "initContainers"} {
		containers := spec.get(list)
		if containers == nil || containers.kind != sequenceKind {
			continue
		}
		for _, c := range containers.items {
			name := c.str("name")
			if directive(c) {
				return "container " + problem.Quote(name) + " has a patch directive"
			}
			if c.resolved().kind == mappingKind && c.get("image") == nil && !slices.Contains(injected, name) {
				return "container " + problem.Quote(name) + " has no image, as in a patch"
			}
		}
	}
	if directive(spec) {
		return "the pod's spec has a patch directive"
	}
	return ""
}

// injected are the containers whose image the injection adds.
var injected = []string{"istio-proxy", "istio-init"}

// directive reports a directive of a strategic merge patch among the keys of a mapping.
func directive(n *node) bool {
	n = n.resolved()
	return n.kind == mappingKind && slices.ContainsFunc(n.entries(), func(e entry) bool { return strings.HasPrefix(e.key.text, "$") })
}

// dotted is a JSON pointer as a path.
func dotted(pointer string) string {
	return strings.ReplaceAll(strings.TrimPrefix(pointer, "/"), "/", ".")
}
