package manifest

import (
	"encoding/json"
	"strings"

	"github.com/outrider-mesh/outrider/inject"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// asJSON is the document as JSON, indented as by kubectl; nothing for an empty one.
func (t *transformer) asJSON() string {
	var out []byte
	t.expanded = 0 // they are expanded once more
	for _, root := range t.want {
		if n := root.resolved(); n.kind == scalarKind && n.tag == nullTag {
			continue
		}
		if _, err := toJSON(root, &t.expanded); err != nil {
			t.problem(found{node: root}, problem.Of(err)...)
			return ""
		}
		out = append(appendJSON(out, root, "\n", "", "    "), '\n')
	}
	return string(out)
}

// target identifies an object like the target of a Kustomize patch.
type target struct {
	Group     string `json:"group,omitempty"`
	Version   string `json:"version"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
}

// patch adds a line of Format Patches: the operations on the object.
func (t *transformer) patch(n *node, template *inject.Template, operations []inject.Operation) {
	if t.o.Format != Patches {
		return
	}
	of := t.kinds(n)
	name := target{Version: of.apiVersion, Kind: of.kind, Namespace: n.get("metadata").str("namespace"), Name: n.get("metadata").str("name")}
	if group, version, ok := strings.Cut(name.Version, "/"); ok {
		name.Group, name.Version = group, version
	}
	at := make([]inject.Operation, len(operations))
	for i, op := range operations {
		at[i] = op
		at[i].Path = template.Pointer + op.Path
	}
	text, err := json.Marshal(name)
	if err != nil {
		return // strings always have an encoding
	}
	t.patches = append(append(t.patches, `{"target":`...), text...)
	t.patches = inject.AppendPatch(append(t.patches, `,"patch":`...), at)
	t.patches = append(t.patches, "}\n"...)
}
