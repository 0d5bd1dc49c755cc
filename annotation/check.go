package annotation

import (
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// prefixes are Istio's for sidecars; an unknown name below one of them is a
// mistake.
var prefixes = []string{
	"sidecar.istio.io/", "traffic.sidecar.istio.io/", "proxy.istio.io/", "inject.istio.io/",
	"status.sidecar.istio.io/", "readiness.status.sidecar.istio.io/", "istio.io/",
}

// Check checks the annotations and labels of a pod, or of a workload's pod
// template. Errors deny the pod. Both are complete and sorted by name, with the
// paths that Path makes; nil when there is nothing to report.
func Check(annotations, labels map[string]string) (errs, warnings problem.List) {
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
	if !c.seen {
		return nil, nil
	}
	c.together(annotations, labels)
	return c.errs.sorted(), c.warnings.sorted()
}

// ours is the cheap test for pods without any of the names.
func ours(name string) bool {
	return strings.Contains(name, "istio.io/") || name == Injection
}

// findings are problems with the keys that they are sorted by.
type findings []finding

type finding struct {
	key
	problem.Problem
}

// add notes the problems of a value. A problem inside the document that a value
// is has the place there in its rule.
func (fs *findings) add(k key, value string, ps ...problem.Problem) {
	for _, p := range ps {
		switch {
		case p.Line > 0:
			p = problem.Problem{Severity: p.Severity, Type: p.Type, Rule: p.WithFix("").String(), Fix: p.Fix}
		case p.Value == "":
			p.Value = problem.Quote(value)
		}
		*fs = append(*fs, finding{k, p.At(Path(k.name, k.isLabel))})
	}
}

// check adds what a row's check finds; nil finds nothing.
func (fs *findings) check(k key, value string, check func(string) problem.List) {
	if check != nil {
		fs.add(k, value, check(value)...)
	}
}

// warn is check for what a row warns about.
func (fs *findings) warn(k key, value string, warn func(string) problem.List) {
	if warn == nil {
		return
	}
	for _, p := range warn(value) {
		fs.add(k, value, p.AsWarning())
	}
}

func (fs findings) sorted() problem.List {
	slices.SortStableFunc(fs, func(a, b finding) int { return a.compare(b.key) })
	var out problem.List
	for _, f := range fs {
		out.Add(f.Problem)
	}
	return out
}

type checker struct {
	errs, warnings findings
	seen           bool
}

func (c *checker) pod(name, value string, isLabel bool) {
	c.seen = true
	k := key{name, isLabel}
	row, ok := lookup(name, isLabel)
	switch {
	case !ok:
		c.warnings.add(k, value, unknown(name, isLabel)...)
	case row.Support == Rejected:
		p := problem.Invalid("", "", "not supported: "+row.Why, "")
		p.Type = problem.TypeNotSupported
		c.errs.add(k, value, p)
	case row.Support == NoEffect:
		if row.inert == nil || !row.inert(value) {
			c.warnings.add(k, value, problem.NoEffect("", "", row.Why, ""))
		}
	case row.Support != Supported:
	case row.Places&OnPod == 0:
		c.warnings.add(k, value, noEffectHere("on a pod", "set it on a "+row.Places.String()))
	default:
		c.errs.check(k, value, row.check)
		c.warnings.warn(k, value, row.warn)
	}
}

// noEffectHere is a warning about a name that has an effect elsewhere.
func noEffectHere(where, fix string) problem.Problem {
	p := problem.NoEffect("", "", "", fix)
	p.Rule = "no effect " + where
	return p
}

// together checks what needs two names.
func (c *checker) together(annotations, labels map[string]string) {
	onPod, hasA := annotations[Inject]
	label, hasL := labels[Inject]
	if hasA && hasL && onPod != label {
		p := problem.Invalid("", "", "the label of the same name takes precedence, with the value "+problem.Quote(label), "remove the annotation")
		c.warnings.add(key{name: Inject}, onPod, p.AsWarning())
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
			c.errs.add(key{name: pair[0]}, request, problem.Invalid("", "",
				"exceeds the limit "+problem.Quote(limit)+" of "+Path(pair[1], false), "raise the limit, or lower the request"))
		}
	}
}

// unknown warns about a name with one of the prefixes that is not in the table.
func unknown(name string, isLabel bool) problem.List {
	prefix := name[:strings.LastIndexByte(name, '/')+1]
	if !slices.Contains(prefixes, prefix) {
		return nil
	}
	kind, other := "an annotation", "a label"
	if isLabel {
		kind, other = other, kind
	}
	if _, ok := lookup(name, !isLabel); ok {
		return problem.List{problem.NoEffect("", "", "this name is "+other+", not "+kind, "set it as "+other)}
	}
	var known []string
	for _, r := range table {
		if r.Support == Supported || r.IsLabel == isLabel {
			known = append(known, r.Name)
		}
	}
	fix := ""
	if near := nearest(name, known); near != "" {
		fix = "did you mean " + problem.Quote(near) + "?"
	}
	return problem.List{problem.NoEffect("", "", "unknown name", fix)}
}

// nearest compares the part after the prefix first, so that the right name with
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

// CheckPlace finds the names that have an effect elsewhere but none at this
// place: the metadata of a workload itself, of a namespace, and so on. kind is
// the object's kind, for the message.
func CheckPlace(where Place, kind string, annotations, labels map[string]string) problem.List {
	var out findings
	for name, value := range annotations {
		if ours(name) {
			out.place(where, kind, key{name, false}, value)
		}
	}
	for name, value := range labels {
		if ours(name) {
			out.place(where, kind, key{name, true}, value)
		}
	}
	return out.sorted()
}

func (fs *findings) place(where Place, kind string, k key, value string) {
	row, ok := lookup(k.name, k.isLabel)
	switch {
	case !ok:
		fs.add(k, value, unknown(k.name, k.isLabel)...)
	case row.Support != Supported && row.Support != Rejected:
	case row.Places&where != 0:
		fs.check(k, value, row.check)
		fs.warn(k, value, row.warn)
	default:
		fs.add(k, value, noEffectHere("on the metadata of a "+kind+" itself", remedy(row, kind)))
	}
}

// remedy is where to set a name instead.
func remedy(row Row, kind string) string {
	field := "annotations"
	if row.IsLabel {
		field = "labels"
	}
	switch {
	case row.Places&OnPod == 0:
		return "set it on a " + row.Places.String()
	case kind == "CronJob":
		return "move it to spec.jobTemplate.spec.template.metadata." + field
	case kind == "Namespace" && row.Name == Inject:
		return "set the namespace label " + Injection + ": enabled or disabled, or this label on the pods"
	case kind == "Namespace" || kind == "Service":
		return "set it on the pods (spec.template.metadata." + field + " of their workload)"
	}
	return "move it to spec.template.metadata." + field
}
