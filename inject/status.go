package inject

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/jsontree"
)

// status is the annotation sidecar.istio.io/status. The first five keys are
// Istio's; the others say what its users cannot find out: with which
// configuration, with which effective values, from where, and what else was
// changed, so that the injection can be taken back exactly.
type status struct {
	InitContainers   []string `json:"initContainers"`
	Containers       []string `json:"containers"`
	Volumes          []string `json:"volumes"`
	ImagePullSecrets []string `json:"imagePullSecrets"`
	Revision         string   `json:"revision"`

	Templates   []string        `json:"templates"`
	ConfigHash  string          `json:"configHash"`
	OverlayHash string          `json:"overlayHash"` // of the rendered templates
	Effective   json.RawMessage `json:"effective"`   // name -> {value, source}

	// Added are the paths that did not exist before, innermost first; a path's
	// segments are keys, or [NAME] for a list item of that name.
	Added []string `json:"added,omitempty"`
	// Changed are the paths whose value was another one, with that value.
	Changed map[string]json.RawMessage `json:"changed,omitempty"`
	// Order is how the user's items of a list stood, by name, where taking the
	// rest back would leave them in another order.
	Order map[string][]string `json:"order,omitempty"`
}

// parseStatus reads the annotation; nil when it is none of ours to act upon.
func parseStatus(text string) *status {
	var s status
	if json.Unmarshal([]byte(text), &s) != nil {
		return nil
	}
	return &s
}

func (s *status) lists() map[string][]string {
	return map[string][]string{
		"initContainers": s.InitContainers, "containers": s.Containers,
		"volumes": s.Volumes, "imagePullSecrets": s.ImagePullSecrets,
	}
}

// status writes the annotation, and beside it the user's own versions of
// injected containers.
func (m *mutation) status() error {
	if m.again {
		return nil // the record of the earlier injection holds
	}
	s := &status{
		Revision: m.revision(), Templates: m.resolved.settings.Templates,
		ConfigHash: m.hash, OverlayHash: overlayHash(m.overlays), Effective: m.resolved.effective,
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
	text, err := json.Marshal(s)
	if err != nil {
		return refuse(RefusedTemplate, "status annotation: "+err.Error())
	}
	m.annotate(annotation.SidecarStatus, string(text))
	return nil
}

// brought names the items of a list that are in the pod because of the
// templates: what the user's pod had already (a volume, a pull secret) is the user's.
func (m *mutation) brought(list string) []string {
	names := []string{}
	had := m.base.At("spec", list).Items()
	for _, o := range m.overlays {
		for _, name := range o.names[list] {
			if slices.Contains(names, name) {
				continue
			}
			if indexBy(had, "name", jsontree.NewString(name)) < 0 || m.user.has(name) {
				names = append(names, name)
			}
		}
	}
	return names
}

func overlayHash(overlays []*overlay) string {
	if len(overlays) == 1 {
		return overlays[0].sum
	}
	sums := make([]string, len(overlays))
	for n, o := range overlays {
		sums[n] = o.sum
	}
	return contentHash(sums...)
}

// undo compares the pod before and after and records the way back. Items that
// the status lists name, and the user's containers, have their own way.
type undo struct {
	*status
	brought map[string][]string
	user    []string
}

func (u *undo) object(before, after *jsontree.Node, s *schema, at string) {
	if before == after {
		return
	}
	for _, m := range after.Members() {
		path := at + "/" + escape(m.Key)
		if old := before.Get(m.Key); old != m.Value {
			u.value(old, m.Value, s.field(m.Key), path)
		}
	}
	for _, m := range before.Members() {
		if after.Get(m.Key) == nil {
			u.changed(at+"/"+escape(m.Key), m.Value)
		}
	}
}

func (u *undo) value(before, after *jsontree.Node, f *field, path string) {
	switch {
	case after.Kind() == jsontree.Object && (before == nil || before.Kind() == jsontree.Object):
		u.object(before, after, f.child, path)
	case after.Kind() == jsontree.Array && f.mergeKey == "name" && (before == nil || before.Kind() == jsontree.Array):
		u.list(before, after, f, path)
	case before != nil && !jsontree.Equal(before, after):
		u.changed(path, before)
	}
	if before == nil {
		u.Added = append(u.Added, path)
	}
}

// list compares lists whose items bear names. The order is not recorded: the
// user's items keep theirs.
func (u *undo) list(before, after *jsontree.Node, f *field, path string) {
	had := before.Items()
	for _, item := range after.Items() {
		name := item.Get("name").Text()
		if slices.Contains(u.brought[strings.TrimPrefix(path, "/spec/")], name) || slices.Contains(u.user, name) {
			continue
		}
		if i := indexBy(had, "name", item.Get("name")); i >= 0 {
			u.object(had[i], item, f.child, path+"/["+escape(name)+"]")
		} else {
			u.Added = append(u.Added, path+"/["+escape(name)+"]")
		}
	}
	for _, item := range had {
		name := item.Get("name").Text()
		if indexBy(after.Items(), "name", item.Get("name")) < 0 && !slices.Contains(u.user, name) {
			u.changed(path+"/["+escape(name)+"]", item)
		}
	}
}

func (u *undo) changed(path string, old *jsontree.Node) {
	if u.Changed == nil {
		u.Changed = map[string]json.RawMessage{}
	}
	u.Changed[path] = json.RawMessage(old.JSON())
}

func escape(key string) string { return string(jsontree.AppendPointer(nil, key)[1:]) }

func unescape(segment string) string {
	return strings.ReplaceAll(strings.ReplaceAll(segment, "~1", "/"), "~0", "~")
}

// strip takes the recorded injection out of a pod: the reverse of the mutators,
// in reverse order.
func (s *status) strip(pod *jsontree.Node, user overrides) *jsontree.Node {
	pod = removeAnnotations(pod, annotation.SidecarStatus, annotation.ProxyOverrides)
	for list, names := range s.lists() {
		pod = removeNamed(pod, list, names)
	}
	for _, path := range slices.Sorted(maps.Keys(s.Changed)) {
		pod = setAt(pod, splitPath(path), jsontree.Parse(string(s.Changed[path])))
	}
	for _, path := range s.Added {
		pod = removeAt(pod, splitPath(path))
	}
	pod = user.putBack(pod)
	for list, names := range s.Order {
		pod = reorder(pod, list, names)
	}
	return pod
}

// recordOrder compares the pod before the injection with what strip makes of
// the injected one.
func (s *status) recordOrder(base, stripped *jsontree.Node) {
	for _, list := range injectedLists {
		want := itemNames(base.At("spec", list))
		if slices.Equal(want, itemNames(stripped.At("spec", list))) {
			continue
		}
		if s.Order == nil {
			s.Order = map[string][]string{}
		}
		s.Order[list] = want
	}
}

func itemNames(list *jsontree.Node) []string {
	var names []string
	for _, item := range list.Items() {
		names = append(names, item.Get("name").Text())
	}
	return names
}

// reorder puts the items of a list in the order of names; what others have
// added since comes behind.
func reorder(pod *jsontree.Node, list string, names []string) *jsontree.Node {
	items := slices.Clone(pod.At("spec", list).Items())
	if len(items) == 0 {
		return pod
	}
	place := func(item *jsontree.Node) int {
		if i := slices.Index(names, item.Get("name").Text()); i >= 0 {
			return i
		}
		return len(names)
	}
	slices.SortStableFunc(items, func(a, b *jsontree.Node) int { return place(a) - place(b) })
	return pod.Put(jsontree.NewArray(items...), "spec", list)
}

func removeAnnotations(pod *jsontree.Node, names ...string) *jsontree.Node {
	annotations := pod.At("metadata", "annotations")
	for _, name := range names {
		annotations = annotations.Without(name)
	}
	return pod.Put(annotations, "metadata", "annotations")
}

func removeNamed(pod *jsontree.Node, list string, names []string) *jsontree.Node {
	items := pod.At("spec", list).Items()
	kept := make([]*jsontree.Node, 0, len(items))
	for _, item := range items {
		if !slices.Contains(names, item.Get("name").Text()) {
			kept = append(kept, item)
		}
	}
	if len(kept) == len(items) {
		return pod
	}
	return pod.Put(jsontree.NewArray(kept...), "spec", list)
}

func splitPath(path string) []string {
	return strings.Split(strings.TrimPrefix(path, "/"), "/")
}

// listItem finds the index of the item that a segment [NAME] means, -1 for none.
func listItem(list *jsontree.Node, segment string) int {
	name := unescape(strings.TrimSuffix(strings.TrimPrefix(segment, "["), "]"))
	return indexBy(list.Items(), "name", jsontree.NewString(name))
}

// setAt puts an earlier value back. A path that is gone is left alone: whoever
// removed it meant it.
func setAt(n *jsontree.Node, path []string, value *jsontree.Node) *jsontree.Node {
	if len(path) == 0 {
		return value
	}
	if n.Kind() == jsontree.Array {
		items := slices.Clone(n.Items())
		i := listItem(n, path[0])
		switch {
		case i >= 0:
			items[i] = setAt(items[i], path[1:], value)
		case len(path) == 1:
			items = append(items, value)
		}
		return jsontree.NewArray(items...)
	}
	key := unescape(path[0])
	if len(path) > 1 && n.Get(key) == nil {
		return n
	}
	return n.With(key, setAt(n.Get(key), path[1:], value))
}

// removeAt removes what was added. An object, or a list of named items, goes
// only when nothing is left in it: others may have put something there since.
func removeAt(n *jsontree.Node, path []string) *jsontree.Node {
	if n.Kind() == jsontree.Array {
		i := listItem(n, path[0])
		if i < 0 {
			return n
		}
		items := slices.Clone(n.Items())
		if len(path) == 1 {
			return jsontree.NewArray(slices.Delete(items, i, i+1)...)
		}
		items[i] = removeAt(items[i], path[1:])
		return jsontree.NewArray(items...)
	}
	key := unescape(path[0])
	child := n.Get(key)
	switch {
	case child == nil:
		return n
	case len(path) > 1:
		return n.With(key, removeAt(child, path[1:]))
	case len(child.Members()) > 0, len(child.Items()) > 0 && child.Items()[0].Get("name") != nil:
		return n
	}
	return n.Without(key)
}

func sortedKeys(m map[string]string) []string {
	if len(m) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(m))
}
