package manifest

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// ofHelm is an action that only Helm has. Other actions are for other programs where a
// value is any text, as in arguments and annotations.
var ofHelm = regexp.MustCompile(`\{\{[^}]*[ ($-](\$?\.(Values|Release|Chart|Capabilities)\b|include ")`)

// unrenderedValue warns about the first value of an object that is an unrendered
// template although the text is YAML.
func (t *transformer) unrenderedValue(n *node) problem.List {
	if !bytes.Contains(t.c.text, []byte("{{")) && !bytes.Contains(t.c.text, []byte("{%")) {
		return nil
	}
	s := actionSearch{budget: maxVisited}
	if !s.visit(n, nil) {
		return nil
	}
	p := problem.Invalid(strings.ReplaceAll(strings.Join(s.path, "."), ".[", "["), s.value, "unrendered template", renderFirst)
	p.Severity = problem.Warning
	return problem.List{p}
}

type actionSearch struct {
	budget int
	path   []string
	value  string
}

// visit looks for an action and keeps its place.
func (s *actionSearch) visit(n *node, path []string) bool {
	n = n.resolved()
	if s.budget--; s.budget < 0 || len(path) > maxDepth {
		return false
	}
	switch n.kind {
	case mappingKind:
		for _, e := range n.entries() {
			if isAction(e.key.text, nil) || s.visit(e.value, append(path, e.key.text)) {
				s.keep(e.key.text, append(path, e.key.text))
				return true
			}
		}
	case sequenceKind:
		for i, item := range n.items {
			if s.visit(item, append(path, "["+strconv.Itoa(i)+"]")) {
				return true
			}
		}
	default:
		if isAction(n.text, path) {
			s.keep(n.text, path)
			return true
		}
	}
	return false
}

func (s *actionSearch) keep(value string, path []string) {
	if s.path == nil {
		s.path, s.value = append([]string{}, path...), strings.Clone(value)
	}
}

// isAction reports whether a value at a path has an action of a template: one of Helm,
// or any where the API has a name or an image. Annotations are any text.
func isAction(text string, path []string) bool {
	if !strings.Contains(text, "{{") && !strings.Contains(text, "{%") {
		return false
	}
	if len(path) > 1 && path[len(path)-2] == "annotations" {
		return false
	}
	return ofHelm.MatchString(text) || isName(path) && action.MatchString(text)
}

// isName reports whether a path is of a name, a label or an image.
func isName(path []string) bool {
	if len(path) < 2 {
		return false
	}
	key, parent := path[len(path)-1], path[len(path)-2]
	switch key {
	case "name", "namespace", "generateName":
		return parent == "metadata" || isContainer(path[:len(path)-1])
	case "image":
		return isContainer(path[:len(path)-1])
	}
	return parent == "labels"
}

func isContainer(path []string) bool {
	return len(path) > 1 && strings.HasSuffix(strings.ToLower(path[len(path)-2]), "containers")
}
