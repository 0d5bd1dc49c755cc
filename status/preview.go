package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/outrider-mesh/outrider/explain"
)

// Preview is what an edit of the settings changes.
type Preview struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // Preview
	// Namespace is that of the pods; empty for all.
	Namespace string `json:"namespace,omitempty"`
	// From and To are the hashes of the active settings and of the edited ones.
	From string `json:"from"`
	To   string `json:"to"`
	// Changes reports whether the edit changes anything: a workload, or what sidecars are
	// configured with.
	Changes bool           `json:"changes"`
	Summary PreviewSummary `json:"summary"`
	// Immediate are the changes that running sidecars get without a restart.
	Immediate []Difference `json:"immediate"`
	// Workloads are those whose pods differ from what the edited settings make of them: what
	// the status names after the edit.
	Workloads []PreviewWorkload `json:"workloads"`
	// Current are workloads that differ from the active settings now, or have no sidecar that
	// these require, and are as the edited settings make them.
	Current []Object `json:"current"`
	// Warnings are those of the edited settings, and what could not be read.
	Warnings []string `json:"warnings"`
}

// PreviewSummary counts.
type PreviewSummary struct {
	Pods      int `json:"pods"`
	Workloads int `json:"workloads"`
	// Changed are the workloads that the edit changes, and Breaks those of them whose pods
	// would be denied.
	Changed int `json:"changed"`
	Breaks  int `json:"breaks"`
}

// PreviewWorkload is a workload that differs from the edited settings.
type PreviewWorkload struct {
	Object
	Pods []string `json:"pods,omitempty"`
	// Changed is false where the edit changes nothing: the pods differ from the active
	// settings already.
	Changed bool `json:"changed"`
	// Stale is set where the running pods differ from the active settings already.
	Stale bool `json:"stale"`
	// Missing is set where they have no sidecar.
	Missing bool `json:"missing,omitempty"`
	// Result is what happens to a pod that is created after the edit.
	Result   string        `json:"result"`
	Rule     *explain.Rule `json:"rule,omitempty"`
	Problems []string      `json:"problems,omitempty"`
	// Differences are between a pod that is created now and one that is created after the
	// edit.
	Differences []Difference `json:"differences"`
	// Bypassed are Services whose connections bypass the sidecar after the edit, and
	// Captured those whose connections are redirected to it; of the pods that are created
	// after it.
	Bypassed []string `json:"bypassed,omitempty"`
	Captured []string `json:"captured,omitempty"`
	// Command applies the edit after it is made.
	Command string `json:"command,omitempty"`
	Note    string `json:"note,omitempty"`
}

// AddTemplate adds the pod template of a workload of a file.
func (c *Collector) AddTemplate(s explain.Subject) {
	g := &group{Object: Object{Kind: s.Kind, Namespace: s.Object.Namespace, Name: s.Name, File: s.File, Line: s.Line}, then: map[int]*settled{}}
	n := c.namespace(s.Object.Namespace).Namespace
	c.groups[fmt.Sprint(len(c.order))] = g
	c.order = append(c.order, g)
	c.owners[g.Object] = true
	selection := s.Selection(n, c.in.Registered)
	if selection.Result == explain.NotSelected {
		return // no settings change it
	}
	now := c.under(c.in.Settings, s, n, s.Decoded())
	edited := c.under(*c.in.Edited, s, n, s.Decoded())
	g.now = verdict{decision: now.decision, selection: selection}
	g.changes = c.changed(now, edited, placesOf(s, *c.in.Edited))
	g.edited = verdict{decision: edited.decision, selection: selection, stale: len(g.changes.differences) > 0}
}

// Preview is what the edited settings change.
func (c *Collector) Preview() Preview {
	out := Preview{
		APIVersion: APIVersion, Kind: "Preview", Namespace: c.in.Scope, From: c.in.Settings.Injector.Hash(), To: c.in.Edited.Injector.Hash(),
		Immediate: c.immediate(), Workloads: []PreviewWorkload{}, Current: []Object{}, Warnings: append([]string{}, c.in.Warnings...),
	}
	out.Summary = PreviewSummary{Pods: c.summary.Pods, Workloads: len(c.owners)}
	changed, breaks := map[Object]bool{}, map[Object]bool{}
	at := map[string]int{}
	for _, g := range c.order {
		edits := len(g.changes.differences) > 0
		differs := g.edited.stale || g.edited.missing && edits
		if edits {
			changed[g.Object] = true
			if g.edited.decision.Result == Denied {
				breaks[g.Object] = true
			}
		}
		if (g.now.stale || g.now.missing) && !g.edited.stale && !g.edited.missing {
			out.Current = append(out.Current, g.Object)
		}
		if !differs {
			continue
		}
		w := g.preview(edits)
		id := fmt.Sprint(w.Object, w.Result, w.Stale, w.Differences, w.Problems)
		if i, ok := at[id]; ok {
			o := &out.Workloads[i]
			o.Pods = slices.Sorted(slices.Values(append(o.Pods, w.Pods...)))
			if o.Command != "" {
				o.Command, o.Note = o.restart(o.Pods)
			}
			continue
		}
		at[id] = len(out.Workloads)
		out.Workloads = append(out.Workloads, w)
	}
	out.Summary.Changed, out.Summary.Breaks = len(changed), len(breaks)
	out.Changes = len(changed)+len(out.Immediate) > 0
	slices.SortStableFunc(out.Workloads, func(a, b PreviewWorkload) int { return compareObjects(a.Object, b.Object) })
	slices.SortStableFunc(out.Current, compareObjects)
	out.Current = slices.Compact(out.Current)
	return out
}

// preview is the group as a workload of a Preview.
func (g *group) preview(edits bool) PreviewWorkload {
	of := g.workload(g.edited)
	out := PreviewWorkload{
		Object: g.Object, Pods: of.Pods, Changed: edits, Stale: g.now.stale, Missing: g.edited.missing, Result: of.Result, Rule: of.Rule, Problems: of.Problems,
		Differences: g.changes.differences, Bypassed: g.changes.bypass, Captured: g.changes.captured, Command: of.Command, Note: of.Note,
	}
	if out.Differences == nil {
		out.Differences = []Difference{}
	}
	return out
}

// immediate are the differences of the mesh configuration, of which running sidecars are
// reconfigured. Its defaultConfig is applied by an injection.
func (c *Collector) immediate() []Difference {
	out := []Difference{}
	was, is := c.in.Settings.Injector.Config().Mesh, c.in.Edited.Injector.Config().Mesh
	compareMessages("", was.ProtoReflect(), is.ProtoReflect(), &out)
	return slices.DeleteFunc(out, func(d Difference) bool {
		return d.Name == "defaultConfig" || strings.HasPrefix(d.Name, "defaultConfig.")
	})
}

// compareMessages adds the fields that differ, by their paths.
func compareMessages(path string, was, is protoreflect.Message, out *[]Difference) {
	fields := is.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if proto.Equal(holding(was, f), holding(is, f)) {
			continue
		}
		name := strings.TrimPrefix(path+"."+f.JSONName(), ".")
		message := f.Kind() == protoreflect.MessageKind && !f.IsList() && !f.IsMap() && !wellKnown(f)
		if message && was.Has(f) && is.Has(f) {
			compareMessages(name, was.Get(f).Message(), is.Get(f).Message(), out)
			continue
		}
		*out = append(*out, Difference{Name: name, Was: valueText(was, f), Is: valueText(is, f)})
	}
}

// wellKnown reports whether a message is a value, such as a duration.
func wellKnown(f protoreflect.FieldDescriptor) bool {
	return strings.HasPrefix(string(f.Message().FullName()), "google.protobuf.")
}

// holding is a message with one field of another one.
func holding(m protoreflect.Message, f protoreflect.FieldDescriptor) proto.Message {
	out := m.New()
	if m.Has(f) {
		out.Set(f, m.Get(f))
	}
	return out.Interface()
}

// valueText is a field as text.
func valueText(m protoreflect.Message, f protoreflect.FieldDescriptor) string {
	if !m.Has(f) && f.Kind() == protoreflect.MessageKind {
		return ""
	}
	v := m.Get(f)
	switch {
	case f.IsList(), f.IsMap():
		return "..."
	case f.Kind() == protoreflect.EnumKind:
		if d := f.Enum().Values().ByNumber(v.Enum()); d != nil {
			return string(d.Name())
		}
	case f.Kind() == protoreflect.MessageKind:
		if d, ok := v.Message().Interface().(interface{ AsDuration() time.Duration }); ok {
			return d.AsDuration().String()
		}
		return "..."
	}
	return fmt.Sprint(v.Interface())
}
