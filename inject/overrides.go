package inject

import (
	"encoding/json"
	"slices"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/jsontree"
)

// overrides are containers in the user's pod that bear the name of an injected
// one: the user's word on the sidecar. They are laid over the injected container
// and kept in the annotation proxy.istio.io/overrides, from where a later
// injection takes them again.
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

// putBack returns the user's containers to the lists they came from.
func (o overrides) putBack(pod *jsontree.Node) *jsontree.Node {
	for _, c := range o.nodes {
		items := slices.Clone(pod.At("spec", c.list).Items())
		pod = pod.Put(jsontree.NewArray(append(items, c.node)...), "spec", c.list)
	}
	return pod
}

// setUserAside takes the user's versions of injected containers out of the pod,
// so that the templates make theirs unmixed.
func (m *mutation) setUserAside() error {
	if m.again {
		m.user = parseOverrides(m.incoming.At("metadata", "annotations", annotation.ProxyOverrides).Text())
		return nil
	}
	for _, list := range []string{"containers", "initContainers"} {
		for _, item := range m.base.At("spec", list).Items() {
			name := item.Get("name").Text()
			// A user who writes containers: istio-proxy means the sidecar, in
			// whichever list this cluster runs it.
			if m.injects("containers", name) || m.injects("initContainers", name) {
				m.user.nodes = append(m.user.nodes, userContainer{list, item})
				m.tree = removeNamed(m.tree, list, []string{name})
			}
		}
	}
	return nil
}

// reapplyUser lays the user's versions over the injected containers. The image
// "auto" asks for the injected one: the API server wants some image there.
func (m *mutation) reapplyUser() error {
	for _, c := range m.user.nodes {
		node := c.node
		if node.Get("image").Text() == "auto" {
			node = node.Without("image")
		}
		node = jsontree.Parse(node.JSON()).Seal()
		for _, list := range []string{"containers", "initContainers"} {
			items := m.tree.At("spec", list).Items()
			i := indexBy(items, "name", node.Get("name"))
			if i < 0 {
				continue
			}
			merged, err := merge(items[i], node, m.schema.at("spec", list))
			if err != nil {
				return refuse(RefusedMerge, "container "+quoted(node.Get("name").Text())+" of the pod: "+err.Error())
			}
			if merged != items[i] {
				items = slices.Clone(items)
				items[i] = merged
				m.tree = m.tree.Put(jsontree.NewArray(items...), "spec", list)
			}
		}
	}
	return nil
}

// annotateUser records the user's containers, if there are any.
func (m *mutation) annotateUser() {
	if len(m.user.nodes) == 0 {
		return
	}
	var o overrides
	for _, c := range m.user.nodes {
		raw := json.RawMessage(c.node.JSON()) // in the user's own order, in which uninject puts it back
		if c.list == "containers" {
			o.Containers = append(o.Containers, raw)
		} else {
			o.InitContainers = append(o.InitContainers, raw)
		}
	}
	text, err := json.Marshal(o)
	if err != nil {
		return // raw parts of valid JSON always marshal
	}
	m.annotate(annotation.ProxyOverrides, string(text))
}
