package validate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/ranges"
)

// notGiven is why a finding is a note.
const notGiven = "not in these files"

// Report validates all objects, each alone and against the others. It is called once.
func (f *Files) Report() *Report {
	injector, mesh := f.configurations()
	f.checkObjects(mesh)
	f.checkWorkloads(injector)
	r := &Report{APIVersion: APIVersion, Kind: "Validation", Files: f.files, Skipped: []Skipped{}, Findings: sorted(f.findings)}
	for kind, n := range f.skipped {
		r.Skipped = append(r.Skipped, Skipped{kind, n})
		r.Summary.Skipped += n
	}
	slices.SortFunc(r.Skipped, func(a, b Skipped) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind)) })
	r.Summary.Objects = len(f.order)
	for i := range r.Findings {
		switch r.Findings[i].Severity {
		case SeverityError:
			r.Summary.Errors++
		case SeverityWarning:
			r.Summary.Warnings++
		default:
			r.Summary.Notes++
		}
	}
	if r.Files == nil {
		r.Files = []File{}
	}
	return r
}

// current are the objects of some kinds that no later one replaces. The documents are read
// again, one after the other, where something is found in them.
func (f *Files) current(kinds ...string) func(yield func(*item) bool) {
	return func(yield func(*item) bool) {
		var last *source
		for _, i := range f.order {
			if i.gone || len(kinds) > 0 && !slices.Contains(kinds, i.kind) {
				continue
			}
			if last != nil && last != i.source {
				last.forget()
			}
			last = i.source
			if !yield(i) {
				return
			}
		}
	}
}

// found adds the problems of an object, each at its path.
func (f *Files) found(i *item, problems problem.List) {
	for _, p := range problems {
		at := place{p.Line, p.Column}
		if p.Line == 0 {
			at = i.of(p.Path)
		}
		p = p.In("").On(0, 0) // the finding has the object and the place
		if p.Type == problem.TypeNotFound {
			f.note(i, p, at, notGiven)
		} else {
			f.add(i, p, "", at)
		}
	}
}

// checkObjects validates the mesh objects against each other.
func (f *Files) checkObjects(mesh *egress.Mesh) {
	in := egress.Input{Mesh: mesh}
	for i := range f.current(egress.KindServiceEntry, egress.KindVirtualService, egress.KindSidecar) {
		if i.spec != nil {
			in.Add(i.meta, i.spec, i.bytes)
		}
	}
	all := buildObjects(in)
	for i := range f.current(egress.KindServiceEntry, egress.KindVirtualService, egress.KindSidecar) {
		f.found(i, i.problems)
		if i.spec != nil {
			f.found(i, all.of(i.kind, i.meta))
			f.namespacesOf(i)
		}
	}
}

// namespacesOf notes the namespaces of exportTo that none of the files has, if they have
// some.
func (f *Files) namespacesOf(i *item) {
	var list []string
	switch s := i.spec.(type) {
	case *networkingv1alpha3.ServiceEntry:
		list = s.ExportTo
	case *networkingv1alpha3.VirtualService:
		list = s.ExportTo
	}
	for n, name := range list {
		if _, given := f.namespaces[name]; given || len(f.namespaces) == 0 || name == i.meta.Namespace || strings.Trim(name, ".*~") == "" {
			continue
		}
		path := fmt.Sprintf("spec.exportTo[%d]", n)
		p := problem.NotFound(path, name, "no Namespace has this name", "")
		f.note(i, p, i.of(path), notGiven)
	}
}

// checkWorkloads validates pods and workloads as the injection does.
func (f *Files) checkWorkloads(injector *inject.Injector) {
	for i := range f.current() {
		if i.text == nil {
			continue
		}
		for _, p := range f.reviewed(injector, i) {
			path, denied := inject.PodsDenied(p)
			if denied {
				p.Severity = problem.Error
			}
			at := i.inTemplate(i.pointer, path)
			switch {
			case standsIn(p):
				f.note(i, problem.NotFound(p.Path, "", dependsOnRanges, ""), at, notGiven)
			case unresolved(p):
				f.note(i, p, at, notGiven)
			default:
				f.add(i, p, "", at)
			}
		}
	}
}

// reviewed are the problems of a pod, or of a workload's pods.
func (f *Files) reviewed(injector *inject.Injector, i *item) problem.List {
	annotations := f.namespaces[i.meta.Namespace]
	if i.kind != "Pod" {
		if _, _, err := inject.FindTemplate(i.text); err != nil {
			return inject.ProblemsOf(err)
		}
		return injector.ReviewWorkload(i.text, i.meta.Namespace, annotations).WorstFirst()
	}
	result, err := injector.Inject(inject.Request{Pod: i.text, Namespace: i.meta.Namespace, NamespaceAnnotations: annotations})
	if err != nil {
		return inject.ProblemsOf(err)
	}
	return result.Warnings.WorstFirst()
}

// configurations validates the ConfigMaps, and returns what the other objects are validated
// with.
func (f *Files) configurations() (*inject.Injector, *egress.Mesh) {
	given := map[string]*item{}
	for i := range f.current("ConfigMap") {
		given[i.meta.Name] = i
	}
	wrong := map[string]bool{} // with errors of its own: it cannot be active
	for name, i := range given {
		alone := f.verdict(i, nil).Problems
		wrong[name] = alone.HasErrors() && !onlyUnresolved(alone)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		i := given[name]
		f.found(i, i.problems)
		var others []*item
		for other, o := range given {
			if other != name && !wrong[other] {
				others = append(others, o)
			}
		}
		f.foundInConfigMap(i, f.verdict(i, others).Problems)
		if wrong[name] && len(f.order) > 1 {
			f.note(i, problem.Invalid("", "", "all other objects are validated without this ConfigMap, as it has errors", ""), i.start(), "")
		}
	}
	var applied []*item
	for name, i := range given {
		if !wrong[name] {
			applied = append(applied, i)
		}
	}
	return f.applied(applied)
}

// applied is the configuration with some ConfigMaps, or without them where it has errors. The
// injector is compiled if there are workloads.
func (f *Files) applied(with []*item) (*inject.Injector, *egress.Mesh) {
	if !slices.ContainsFunc(f.order, func(i *item) bool { return i.text != nil }) {
		texts, labels := f.texts(with)
		if c := ReadConfiguration(texts, nil, labels, egress.CompileMesh); c.Config != nil {
			return nil, c.Mesh
		}
	}
	for _, with := range [][]*item{with, nil} {
		if c, injector, _ := f.compile(f.texts(with)); injector != nil {
			return injector, c.Mesh
		}
	}
	c, injector, _ := f.compile(config.Texts{}, config.Labels{})
	return injector, c.Mesh
}

// Configuration are the problems of the configuration of the options, and the names of
// ranges in it that are not known.
func (f *Files) Configuration() (problems, notes problem.List) {
	_, _, all := f.compile(f.texts(nil))
	for _, p := range all {
		switch {
		case standsIn(p):
		case unresolved(p):
			notes.Add(p)
		default:
			problems.Add(p)
		}
	}
	return problems, notes
}

// texts are those of some ConfigMaps, and of the options for all others.
func (f *Files) texts(of []*item) (config.Texts, config.Labels) {
	texts, labels, own := f.o.Texts, f.o.Labels, f.o.Location.Labels()
	for _, i := range of {
		f.o.Location.Set(&texts, i.meta.Name, i.data.Texts)
		if i.meta.Name == f.o.Location.Mesh {
			labels.Mesh = own.Mesh
		} else {
			labels.Config, labels.Values = own.Config, own.Values
		}
	}
	return texts, labels
}

// verdict is what is wrong with a ConfigMap while others are active.
func (f *Files) verdict(i *item, others []*item) Verdict {
	base, _ := f.texts(others)
	_, labels := f.texts(append(slices.Clone(others), i))
	maps := ConfigMaps{Location: f.o.Location, Labels: labels, Check: func(edit func(*config.Texts)) (problem.List, bool) {
		texts := base
		edit(&texts)
		_, _, problems := f.compile(texts, labels)
		return problems, true
	}}
	return maps.Validate(i.meta.Name, i.data)
}

// foundInConfigMap adds the problems of a ConfigMap, each at its place in the file.
func (f *Files) foundInConfigMap(i *item, problems problem.List) {
	for _, p := range problems {
		at := i.start()
		if p.Source == "" {
			at = i.of(p.Path)
		}
		for _, key := range i.data.Keys {
			if p.Source == keySource(key) {
				at = i.inKey(key, p.Line, p.Column)
			}
		}
		switch {
		case standsIn(p), unresolved(p) && strings.HasPrefix(p.Source, "ConfigMap "): // noted where the name is
		case unresolved(p):
			f.note(i, p, at, notGiven)
		default:
			f.add(i, p, "", at)
		}
	}
}

// compile compiles texts. Where the only errors are names of ranges that are not known, the
// rest is compiled all the same.
func (f *Files) compile(texts config.Texts, labels config.Labels) (*Configuration, *inject.Injector, problem.List) {
	c := ReadConfiguration(texts, nil, labels, egress.CompileMesh)
	env := f.o.Environment
	if env.Ranges = ranges.NoCluster(noRanges); f.o.Ranges != nil && c.Config != nil {
		env.Ranges = f.o.Ranges(c.Config)
	}
	injector, problems := c.Compile(env)
	if injector != nil || !onlyUnresolved(problems) {
		return c, injector, problems
	}
	env.Ranges = standIn()
	injector, more := c.Compile(env)
	missing := slices.DeleteFunc(slices.Clone(problems), func(p problem.Problem) bool { return !unresolved(p) })
	return c, injector, append(missing, more...)
}

// noRanges is why names of ranges are not known.
const noRanges = "the cluster's ranges are not in these files; pass --ranges-from FILE"

// unresolved reports a name of ranges that is not known.
func unresolved(p problem.Problem) bool { return strings.HasSuffix(p.Rule, noRanges) }

func onlyUnresolved(problems problem.List) bool {
	errs := problems.Errors()
	return len(errs) > 0 && !slices.ContainsFunc(errs, func(p problem.Problem) bool { return !unresolved(p) })
}

const (
	standInIPv6     = "100::/128"
	dependsOnRanges = "depends on the cluster's ranges; pass --ranges-from FILE"
)

// standsIn reports a problem that depends on what standIn is.
func standsIn(p problem.Problem) bool { return strings.Contains(p.Value, standInIPv6) }

// standIn are ranges in the place of a cluster's, of which no address is in use (RFC 5737,
// RFC 6666): all that does not depend on these is validated with them.
func standIn() *ranges.NamedRanges {
	list, err := cidr.Parse("192.0.2.0/32,"+standInIPv6, cidr.Options{})
	if err != nil {
		return nil // a constant
	}
	r := ranges.Resolution{Ranges: list, From: notGiven}
	return &ranges.NamedRanges{Platform: ranges.Unknown, Cluster: r, APIServer: r}
}
