package inject

import (
	"encoding/json"
	"slices"

	"github.com/outrider-mesh/outrider/internal/jsontree"
)

// overrides are containers in the user's pod with the name of an injected one: the
// user's changes to the sidecar. They are merged into the injected container and
// recorded in the annotation proxy.istio.io/overrides, from where a later injection
// restores them.
type overrides struct {
	Containers     []json.RawMessage `json:"containers,omitempty"`
	InitContainers []json.RawMessage `json:"initContainers,omitempty"`

	nodes []userContainer
}

type userContainer struct {
	list string // where the user wrote it
	node *jsontree.Node
}

func (o overrides) names() []string {
	var names []string
	for _, c := range o.nodes {
		names = append(names, c.node.Get("name").Text())
	}
	return names
}

func (o overrides) has(name string) bool { return slices.Contains(o.names(), name) }

func parseOverrides(text string) overrides {
	var o overrides
	if text == "" || json.Unmarshal([]byte(text), &o) != nil {
		return overrides{}
	}
	for _, raw := range o.Containers {
		o.nodes = append(o.nodes, userContainer{"containers", jsontree.Parse(string(raw))})
	}
	for _, raw := range o.InitContainers {
		o.nodes = append(o.nodes, userContainer{"initContainers", jsontree.Parse(string(raw))})
	}
	return o
}

// putBack returns the user's containers to their original lists.
func (o overrides) putBack(pod *jsontree.Node) *jsontree.Node {
	for _, c := range o.nodes {
		items := slices.Clone(pod.At("spec", c.list).Items())
		pod = pod.Put(jsontree.NewArray(append(items, c.node)...), "spec", c.list)
	}
	return pod
}
