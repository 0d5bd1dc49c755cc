package annotation

import (
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
)

// prefixes are Istio's own for a sidecar; a name below one of them that the
// table lacks is a mistake.
var prefixes = []string{
	"sidecar.istio.io/", "traffic.sidecar.istio.io/", "proxy.istio.io/", "inject.istio.io/",
	"status.sidecar.istio.io/", "readiness.status.sidecar.istio.io/", "istio.io/",
}

// Check checks the annotations and labels of a pod, or of a workload's pod
// template. Errors refuse the pod. Both are complete and sorted by name; nil
// when there is nothing to say.
func Check(annotations, labels map[string]string) (errs, warnings []Problem) {
	c := checker{}
	for name, value := range annotations {
		if ours(name) {
			c.pod(name, value, false)
		}
	}
	for name, value := range labels {
		if ours(name) {
			c.pod(name, value, true)
		}
	}
	if c.seen {
		c.together(annotations, labels)
		sortProblems(c.errs)
		sortProblems(c.warnings)
	}
	return c.errs, c.warnings
}

// ours is the cheap test that keeps a pod without any of the names free.
func ours(name string) bool {
	return strings.Contains(name, "istio.io/") || name == Injection
}

func sortProblems(ps []Problem) {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if d := strings.Compare(a.Name, b.Name); d != 0 {
			return d
		}
		if a.IsLabel != b.IsLabel {
			if a.IsLabel {
				return 1
			}
			return -1
		}
		return 0
	})
}

type checker struct {
	errs, warnings []Problem
	seen           bool
}

func (c *checker) pod(name, value string, isLabel bool) {
	c.seen = true
	row, ok := lookup(name, isLabel)
	if !ok {
		c.warnings = append(c.warnings, unknown(name, value, isLabel)...)
		return
	}
	p := Problem{Name: name, IsLabel: isLabel, Value: value}
	switch row.Support {
	case Refused:
		p.Rule = "refused: " + row.Why
		c.errs = append(c.errs, p)
		return
	case NoEffect:
		if row.moot == nil || !row.moot(value) {
			p.Rule = "no effect: " + row.Why
			c.warnings = append(c.warnings, p)
		}
		return
	case Written, Untouched:
		return
	}
	if row.Places&OnPod == 0 {
		p.Rule, p.Fix = "no effect on a pod", "write it on a "+row.Places.String()
		c.warnings = append(c.warnings, p)
		return
	}
	c.errs = add(c.errs, p, row.check, value)
	c.warnings = add(c.warnings, p, row.warn, value)
}

func add(to []Problem, p Problem, check func(string) []fault, value string) []Problem {
	if check == nil {
		return to
	}
	for _, f := range check(value) {
		p.Rule, p.Fix = f.rule, f.fix
		to = append(to, p)
	}
	return to
}

// together checks what takes two names to see.
func (c *checker) together(annotations, labels map[string]string) {
	onPod, hasA := annotations[Inject]
	label, hasL := labels[Inject]
	if hasA && hasL && onPod != label {
		c.warnings = append(c.warnings, Problem{Name: Inject, Value: onPod,
			Rule: "the label of the same name wins, with the value " + document.Quote(label), Fix: "remove the annotation"})
	}
	for _, pair := range [...][2]string{{ProxyCPU, ProxyCPULimit}, {ProxyMemory, ProxyMemoryLimit}} {
		request, hasR := annotations[pair[0]]
		limit, hasL := annotations[pair[1]]
		if !hasR || !hasL {
			continue
		}
		r, errR := ParseQuantity(request)
		l, errL := ParseQuantity(limit)
		if errR == nil && errL == nil && r.Cmp(l) > 0 {
			c.errs = append(c.errs, Problem{Name: pair[0], Value: request,
				Rule: "more than the limit " + document.Quote(limit) + " of annotation " + document.Quote(pair[1]), Fix: "raise the limit, or lower the request"})
		}
	}
}

// unknown warns of a name below one of our prefixes that the table lacks.
func unknown(name, value string, isLabel bool) []Problem {
	prefix := name[:strings.LastIndexByte(name, '/')+1]
	if !slices.Contains(prefixes, prefix) {
		return nil
	}
	p := Problem{Name: name, IsLabel: isLabel, Value: value}
	kind, other := "an annotation", "a label"
	if isLabel {
		kind, other = other, kind
	}
	if _, ok := lookup(name, !isLabel); ok {
		p.Rule, p.Fix = "no effect: this name is "+other+", not "+kind, "write it as "+other
		return []Problem{p}
	}
	var known []string
	for _, r := range table {
		if r.Support == Supported || r.IsLabel == isLabel {
			known = append(known, r.Name)
		}
	}
	p.Rule = "no effect: not the name of " + kind
	if near := nearest(name, known); near != "" {
		p.Fix = "did you mean " + document.Quote(near) + "?"
	}
	return []Problem{p}
}

// nearest compares what follows the prefix first, so that a right name below
// a wrong prefix is found too.
func nearest(name string, known []string) string {
	_, short, _ := strings.Cut(name, "/")
	var shorts []string
	full := map[string]string{}
	for _, k := range known {
		_, s, _ := strings.Cut(k, "/")
		if strings.EqualFold(s, short) {
			return k
		}
		if _, dup := full[s]; !dup {
			full[s] = k
			shorts = append(shorts, s)
		}
	}
	if s := document.Nearest(short, shorts); s != "" {
		return full[s]
	}
	return document.Nearest(name, known)
}

// CheckPlace finds the names that would have an effect elsewhere but have none
// at this place: the metadata of a workload itself, of a namespace, and so on.
// kind is the object's kind, for the message.
func CheckPlace(where Place, kind string, annotations, labels map[string]string) []Problem {
	var out []Problem
	for name, value := range annotations {
		if ours(name) {
			out = append(out, misplaced(where, kind, name, value, false)...)
		}
	}
	for name, value := range labels {
		if ours(name) {
			out = append(out, misplaced(where, kind, name, value, true)...)
		}
	}
	sortProblems(out)
	return out
}

func misplaced(where Place, kind, name, value string, isLabel bool) []Problem {
	row, ok := lookup(name, isLabel)
	if !ok {
		return unknown(name, value, isLabel)
	}
	p := Problem{Name: name, IsLabel: isLabel, Value: value}
	switch {
	case row.Support != Supported && row.Support != Refused:
		return nil
	case row.Places&where != 0:
		out := add(nil, p, row.check, value)
		return add(out, p, row.warn, value)
	}
	p.Rule = "no effect on the metadata of a " + kind + " itself"
	p.Fix = remedy(row, kind)
	return []Problem{p}
}

// remedy says where a name belongs instead.
func remedy(row Row, kind string) string {
	field := "annotations"
	if row.IsLabel {
		field = "labels"
	}
	switch {
	case row.Places&OnPod == 0:
		return "write it on a " + row.Places.String()
	case kind == "CronJob":
		return "move it to spec.jobTemplate.spec.template.metadata." + field
	case kind == "Namespace" && row.Name == Inject:
		return "write the namespace label " + Injection + ": enabled or disabled, or this label on the pods"
	case kind == "Namespace" || kind == "Service":
		return "write it on the pods (spec.template.metadata." + field + " of their workload)"
	}
	return "move it to spec.template.metadata." + field
}
