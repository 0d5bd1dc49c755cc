package inject

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/jsontree"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// setUserAside removes the user's versions of injected containers from the pod, so
// that the templates add theirs unmodified.
func (m *mutation) setUserAside() error {
	if m.again {
		m.user = parseOverrides(m.incoming.At("metadata", "annotations", annotation.ProxyOverrides).Text())
		return nil
	}
	for _, list := range []string{"containers", "initContainers"} {
		for _, item := range m.base.At("spec", list).Items() {
			name := item.Get("name").Text()
			// A user's container istio-proxy is the sidecar, in whichever list it runs on
			// this cluster.
			if found, _ := m.brings(name); !found {
				continue
			}
			m.tree = removeNamed(m.tree, list, []string{name})
			if !slices.Contains(m.misplaced, name) {
				m.user.nodes = append(m.user.nodes, userContainer{list, item})
			}
		}
	}
	return nil
}

// override is what a user's version changes in the injected container. The API server
// requires an image, and OpenShift sets a uid where the user did not.
func (m *mutation) override(c userContainer) *jsontree.Node {
	node := c.node
	if node.Get("image").Text() == imageAuto {
		node = node.Without("image")
	}
	security := node.Get("securityContext")
	assigned := m.assigned
	if node.Get("name").Text() == initContainerName {
		uid, err := strconv.ParseInt(security.Get("runAsUser").JSON(), 10, 64)
		assigned = err == nil && uid != 0 && m.inNamespaceRange(uid)
	}
	if assigned && security.Get("runAsUser") != nil {
		node = node.With("securityContext", security.Without("runAsUser"))
	}
	return node
}

// reapplyUser merges the user's versions into the injected containers.
func (m *mutation) reapplyUser() error {
	for _, c := range m.user.nodes {
		node := m.override(c)
		for _, list := range []string{"containers", "initContainers"} {
			items := m.tree.At("spec", list).Items()
			i := indexBy(items, "name", node.Get("name"))
			if i < 0 {
				continue
			}
			patch := withoutAPIToken(items[i], replacing(items[i], node))
			if list == "containers" && c.list != list { // a native sidecar's, where the sidecar is a classic one
				patch = patch.Without("restartPolicy")
			}
			merged, err := merge(items[i], jsontree.Parse(patch.JSON()).Seal(), m.schema.at("spec", list))
			if err != nil {
				return reject(RejectedMerge, problem.Invalid("container "+problem.Quote(node.Get("name").Text())+" of the pod", "", err.Error(), ""))
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

// brought lists the names of items that are in the pod because of the templates: what
// the user's pod had already (a volume, a pull secret) is the user's.
func (m *mutation) brought(list string) []string {
	names := []string{}
	had := m.base.At("spec", list).Items()
	for _, o := range m.overlays {
		for _, name := range o.names[list] {
			if slices.Contains(names, name) {
				continue
			}
			if indexOfName(had, name) < 0 || m.user.has(name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// refreshStatus keeps the record of the earlier injection, but not settings that are not those
// of the pod: the annotation may be written by hand.
func (m *mutation) refreshStatus() error {
	effective := m.effective()
	if jsontree.Equal(jsontree.Parse(string(m.prior.Effective)), jsontree.Parse(string(effective))) {
		return nil
	}
	s := *m.prior
	s.Effective = effective
	return m.record(&s)
}

func (m *mutation) record(s *status) error {
	text, err := s.text()
	if err != nil {
		return reject(RejectedTemplate, problem.Invalid(annotation.Path(annotation.SidecarStatus, false), "", err.Error(), ""))
	}
	m.annotate(annotation.SidecarStatus, text)
	return nil
}

// status sets the annotation, and records the user's own versions of injected
// containers.
func (m *mutation) status() error {
	if m.again {
		return m.refreshStatus() // the record of the earlier injection is still valid
	}
	s := &status{
		Revision: m.revision(), Templates: m.resolved.settings.Templates,
		ConfigHash: m.hash, OverlayHash: overlayHash(m.overlays), Effective: m.effective(),
	}
	s.InitContainers, s.Containers = m.brought("initContainers"), m.brought("containers")
	s.Volumes, s.ImagePullSecrets = m.brought("volumes"), m.brought("imagePullSecrets")
	m.annotateUser()
	if m.tree.At("metadata", "annotations") == nil {
		m.tree = m.tree.Put(jsontree.NewObject(), "metadata", "annotations") // so that its absence is recorded
	}
	u := undo{status: s, brought: s.lists(), user: m.user.names()}
	u.object(m.base, m.tree, m.schema, "")
	if len(u.user)+len(s.Changed) > 0 {
		s.recordOrder(m.base, s.strip(m.tree, m.user))
	}
	return m.record(s)
}
