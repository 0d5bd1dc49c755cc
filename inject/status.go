package inject

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/jsontree"
)

// status is the annotation sidecar.istio.io/status. The first five keys are Istio's;
// the others add the configuration, the effective values with their sources, and what
// else was changed, so that the injection can be undone exactly.
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
	// Order is the order of the user's items of a list, by name, where undoing the
	// rest would result in another order.
	Order map[string][]string `json:"order,omitempty"`
}

// parseStatus reads the annotation; nil when it is not a valid record.
func parseStatus(text string) *status {
	var s status
	if json.Unmarshal([]byte(text), &s) != nil {
		return nil
	}
	return &s
}

// Injected is what the status annotation of an injected pod records.
type Injected struct {
	Revision, ConfigHash string
	// OverlayHash is that of what the templates rendered to: pods with the same one got
	// the same parts from them.
	OverlayHash string
	// Templates are their names.
	Templates []string
	// Effective are the ranges and the settings that are not the default, by name.
	Effective map[string]Setting
}

// InjectedWith reads the status annotation; false for a pod without one.
func InjectedWith(annotations map[string]string) (Injected, bool) {
	text, ok := annotations[annotation.SidecarStatus]
	s := parseStatus(text)
	if !ok || s == nil {
		return Injected{}, false
	}
	out := Injected{Revision: s.Revision, ConfigHash: s.ConfigHash, OverlayHash: s.OverlayHash, Templates: s.Templates, Effective: map[string]Setting{}}
	var effective map[string]struct{ Value, Source string }
	if json.Unmarshal(s.Effective, &effective) == nil {
		for name, e := range effective {
			out.Effective[name] = Setting{name, e.Value, Source(e.Source)}
		}
	}
	return out, true
}

// text is what encoding/json makes of the record. That of most pods, without earlier values
// and without anything to escape, is written by hand: it is a part of every admission.
func (s *status) text() (string, error) {
	if len(s.Changed)+len(s.Order) > 0 {
		text, err := json.Marshal(s)
		return string(text), err
	}
	w := statusWriter{b: make([]byte, 0, 1024)}
	w.list(`{"initContainers":`, s.InitContainers)
	w.list(`,"containers":`, s.Containers)
	w.list(`,"volumes":`, s.Volumes)
	w.list(`,"imagePullSecrets":`, s.ImagePullSecrets)
	w.string(`,"revision":`, s.Revision)
	w.list(`,"templates":`, s.Templates)
	w.string(`,"configHash":`, s.ConfigHash)
	w.string(`,"overlayHash":`, s.OverlayHash)
	w.raw(`,"effective":`, string(s.Effective))
	if len(s.Added) > 0 {
		w.list(`,"added":`, s.Added)
	}
	if w.special {
		text, err := json.Marshal(s)
		return string(text), err
	}
	return string(append(w.b, '}')), nil
}

// statusWriter writes a record.
type statusWriter struct {
	b       []byte
	special bool // encoding/json would write it in another way
}

// plain writes text that is special where it has what encoding/json escapes, or one of the
// given characters.
func (w *statusWriter) plain(text, escaped string) {
	w.b = append(w.b, text...)
	for i := range len(text) {
		c := text[i]
		if c < ' ' || c > '~' || c == '<' || c == '>' || c == '&' {
			w.special = true
		}
	}
	w.special = w.special || strings.ContainsAny(text, escaped)
}

func (w *statusWriter) raw(key, text string) {
	w.b = append(w.b, key...)
	w.plain(text, "")
	w.special = w.special || text == ""
}

func (w *statusWriter) string(key, s string) {
	w.b = append(append(w.b, key...), '"')
	w.plain(s, `"\`)
	w.b = append(w.b, '"')
}

func (w *statusWriter) list(key string, items []string) {
	w.special = w.special || items == nil
	w.b = append(w.b, key...)
	separator := "["
	for _, item := range items {
		w.string(separator, item)
		separator = ","
	}
	if len(items) == 0 {
		w.b = append(w.b, '[')
	}
	w.b = append(w.b, ']')
}

func (s *status) lists() map[string][]string {
	return map[string][]string{
		"initContainers": s.InitContainers, "containers": s.Containers,
		"volumes": s.Volumes, "imagePullSecrets": s.ImagePullSecrets,
	}
}

// undo compares the pod before and after and records how to undo the changes. Items
// in the lists of the status, and the user's containers, are recorded separately.
type undo struct {
	*status
	brought map[string][]string
	user    []string
}

func (u *undo) object(before, after *jsontree.Node, s *schema, at string) {
	if before == after {
		return
	}
	was, is := before.Finder(), after.Finder()
	for _, m := range after.Members() {
		if old := was(m.Key); old != m.Value {
			u.value(old, m.Value, s.field(m.Key), at+"/"+escape(m.Key))
		}
	}
	for _, m := range before.Members() {
		if is(m.Key) == nil {
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

// list compares lists whose items have names. The order is not recorded: the user's
// items keep theirs.
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

// recordOrder compares the pod before the injection with the injected one after
// strip.
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
