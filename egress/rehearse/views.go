package rehearse

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/report"
)

// Pods are the labels of the pods of each workload of a namespace. A report has names
// only, and Sidecars with a workloadSelector select by labels. Different labels of a
// workload are kept by their text: each pod of a StatefulSet has its own.
type Pods map[report.Workload]map[string]map[string]string

// Add adds the labels of a pod.
func (p Pods) Add(w report.Workload, labels map[string]string) {
	if p[w] == nil {
		p[w] = map[string]map[string]string{}
	}
	p[w][fmt.Sprint(labels)] = labels // sorted by their keys
}

// Views are those of the workloads of a namespace.
type Views struct {
	model     *egress.Model
	namespace string
	pods      Pods
	classes   map[string]*egress.View
	workloads map[report.Workload][]sight // that were asked for
}

// NewViews are the views of a model. The pods are needed where the model's
// SelectsWorkloads reports true for the namespace; a workload without pods is taken for one
// that no Sidecar selects.
func NewViews(m *egress.Model, namespace string, pods Pods) *Views {
	return &Views{m, namespace, pods, map[string]*egress.View{}, map[report.Workload][]sight{}}
}

// sight is what a workload sees.
type sight struct {
	of   egress.Workload
	view *egress.View
}

// of are the different views of a workload's pods.
func (v *Views) of(w report.Workload) []sight {
	if out, found := v.workloads[w]; found {
		return out
	}
	var out []sight
	seen := map[string]bool{}
	for _, labels := range v.labels(w) {
		of := egress.Workload{Namespace: v.namespace, Labels: labels}
		class := v.model.ClassOf(of)
		if seen[class] {
			continue
		}
		seen[class] = true
		if v.classes[class] == nil {
			v.classes[class] = v.model.ViewOf(of)
		}
		out = append(out, sight{of, v.classes[class]})
	}
	v.workloads[w] = out
	return out
}

// labels are those of a workload's pods, in a stable order; of none, without labels.
func (v *Views) labels(w report.Workload) (out []map[string]string) {
	for _, text := range slices.Sorted(maps.Keys(v.pods[w])) {
		out = append(out, v.pods[w][text])
	}
	if out == nil {
		out = append(out, nil)
	}
	return out
}

// blocking are the views of a host's workload that block it. A host that was declared is
// not blocked: once it is not, it is reported with another verdict.
func (v *Views) blocking(h report.Host) (out []sight) {
	if h.Verdict == report.Allowed {
		return nil
	}
	for _, s := range v.of(h.Workload) {
		if blocks(s.view, h.Destination) {
			out = append(out, s)
		}
	}
	return out
}

// Blocked are the hosts that are blocked for a pod of their workload.
func (v *Views) Blocked(all []report.Host) (out []report.Host) {
	for _, h := range all {
		if len(v.blocking(h)) > 0 {
			out = append(out, h)
		}
	}
	return out
}

// undeclared are the hosts that are blocked because no ServiceEntry declares them. Others
// are declared, and a Sidecar does not expose them.
func (v *Views) undeclared(all []report.Host) (out []report.Host) {
	for _, h := range all {
		for _, s := range v.blocking(h) {
			if _, _, declared := v.model.NotExposed(s.of, h.Host, uint32(h.Port)); !declared {
				out = append(out, h)
				break
			}
		}
	}
	return out
}

// Unknown is a warning about workloads without pods, where Sidecars select by labels; empty
// without one.
func (v *Views) Unknown(all []report.Host) string {
	if !v.model.SelectsWorkloads(v.namespace) {
		return ""
	}
	without := map[string]bool{}
	for _, h := range all {
		if len(v.pods[h.Workload]) == 0 {
			without[h.String()] = true
		}
	}
	names, more := slices.Sorted(maps.Keys(without)), ""
	switch {
	case len(names) == 0:
		return ""
	case len(names) > commentOwners:
		names, more = names[:commentOwners], fmt.Sprintf(" and %d more", len(names)-commentOwners)
	}
	return fmt.Sprintf("no pods are found of %s%s, so their labels are not known, and Sidecars with a workloadSelector are ignored for them", strings.Join(names, ", "), more)
}
