package inject

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/ranges"
)

// RangeNames is what the names in range lists stand for under a configuration.
// live says that the facts are all that the cluster itself shows.
func RangeNames(cfg *config.Config, facts *ranges.ClusterData, live bool) *ranges.NamedRanges {
	name := cfg.Values.Global.Platform
	if name == platformAuto {
		name = ""
	}
	return facts.NamedRanges(ranges.Options{Platform: name, Live: live})
}

// platformAuto is the value of global.platform that means: as the cluster shows.
const platformAuto = "auto"

// rangeList is a list whose names are resolved.
type rangeList struct {
	list cidr.List
	// evidence says what each name was resolved by; empty where there was none.
	evidence string
	// fallback is why "cluster" stands for global.platformFallback.
	fallback string
}

// source is where the list came from, with the evidence for its names.
func (l rangeList) source(from Source) Source {
	if l.evidence == "" {
		return from
	}
	return from + Source(" ("+l.evidence+")")
}

// rangeNames resolves the names in range lists.
type rangeNames struct {
	global *config.Global
	names  *ranges.NamedRanges
}

// resolve resolves the names in a list. The error names each that stands for
// nothing, with the rule and the fix.
func (n rangeNames) resolve(list cidr.List, wildcard bool) (rangeList, error) {
	out := rangeList{list: list}
	if len(list.Names()) == 0 {
		return out, nil
	}
	var evidence []string
	var problems []string
	resolved, err := list.Resolve(func(name string) (cidr.List, error) {
		l, from, problem := n.one(name, &out)
		switch {
		case problem == "" && l.IsWildcard() && !wildcard:
			problem = fmt.Sprintf("%q stands for \"*\" here, by global.platformFallback, and an exclude list cannot have that; write ranges", name)
			fallthrough
		case problem != "":
			problems = append(problems, problem)
			return cidr.List{}, nil
		}
		evidence = append(evidence, name+": "+from)
		return l, nil
	})
	if err != nil {
		problems = append(problems, err.Error())
	}
	if len(problems) > 0 {
		return out, errors.New(strings.Join(problems, "; "))
	}
	out.list, out.evidence = resolved, strings.Join(evidence, "; ")
	return out, nil
}

// one is what a single name stands for, and by what evidence.
func (n rangeNames) one(name string, out *rangeList) (l cidr.List, from, problem string) {
	if l, ok := n.global.NamedRanges[name]; ok {
		return l, "values global.namedRanges." + name, ""
	}
	k, known := n.names.Resolve(name)
	switch {
	case !known:
		rule, fix := config.UnknownRangeName(name, n.global.NamedRanges)
		return l, "", rule + "; " + fix
	case k.Missing == "":
		return k.Ranges, k.From, ""
	case name == cidr.Cluster && !n.global.PlatformFallback.IsEmpty():
		out.fallback = k.Missing
		return n.global.PlatformFallback, "values global.platformFallback", ""
	}
	problem = fmt.Sprintf("%q cannot be resolved: %s", name, k.Missing)
	if name == cidr.Cluster {
		problem += "; or write the ranges, or global.platformFallback, which stands for it then"
	}
	return l, "", problem
}

// resolveGlobals resolves the names in the two lists of the values.
func (i *Injector) resolveGlobals() problem.List {
	p := &i.cfg.Values.Global.Proxy
	problems := i.platformProblems()
	for _, g := range []struct {
		path     string
		list     cidr.List
		wildcard bool
		out      *rangeList
	}{
		{valuesIncludeIP, p.IncludeIPRanges, true, &i.include},
		{valuesExcludeIP, p.ExcludeIPRanges, false, &i.exclude},
	} {
		resolved, err := i.names.resolve(g.list, g.wildcard)
		if err != nil {
			problems = append(problems, i.valuesProblem(problem.Error, g.path, g.list.String(), err.Error()))
			continue
		}
		*g.out = resolved
		if resolved.fallback != "" {
			problems = append(problems, i.valuesProblem(problem.Warning, g.path, g.list.String(),
				"global.platformFallback stands for \"cluster\", which cannot be resolved: "+resolved.fallback))
		}
		if slices.Contains(g.list.Names(), cidr.Cluster) && i.env.Ranges != nil {
			for _, w := range i.env.Ranges.Warnings {
				problems = append(problems, i.valuesProblem(problem.Warning, g.path, g.list.String(), w))
			}
		}
	}
	if i.cfg.Values.Has(valuesIncludeIP) {
		for _, w := range i.env.Ranges.Omitted(i.include.list) {
			problems = append(problems, i.valuesProblem(problem.Warning, valuesIncludeIP, p.IncludeIPRanges.String(), w))
		}
	}
	return problems
}

// platformProblems warns of a platform that nobody knows; with "cluster" in a
// list it is an error of that list.
func (i *Injector) platformProblems() problem.List {
	name := i.cfg.Values.Global.Platform
	if _, ok := ranges.Canonical(name); ok || name == "" || name == platformAuto {
		return nil
	}
	return problem.List{i.valuesProblem(problem.Warning, valuesPlatform, name,
		"not a known platform, so no defaults are known for it; write auto, or one of "+strings.Join(ranges.Platforms(), ", "))}
}

func (i *Injector) valuesProblem(s problem.Severity, path, value, rule string) problem.Problem {
	v := i.cfg.Values
	place := v.Places[path]
	return problem.Problem{Severity: s, Source: v.Source, Line: place.Line, Column: place.Column, Path: path, Value: quoted(cut(value)), Rule: rule}
}

// rangesKey is what the names of the two lists stand for, for the hash; empty
// where they have none.
func (i *Injector) rangesKey() string {
	if i.include.evidence+i.exclude.evidence == "" {
		return ""
	}
	return i.include.list.String() + " " + i.exclude.list.String()
}

// badNames are the problems with names in a pod's range lists, also of lists that
// are refused for something else.
func (n rangeNames) badNames(annotations map[string]string) []string {
	var out []string
	for _, a := range []struct {
		name string
		o    cidr.Options
	}{
		{annotation.ExcludeOutboundIPRanges, annotation.ExcludeRangeOptions},
		{annotation.IncludeOutboundIPRanges, annotation.IncludeRangeOptions},
	} {
		value, ok := annotations[a.name]
		if !ok {
			continue
		}
		list, err := cidr.Parse(strings.Join(cidr.Names(value), ","), a.o)
		if err != nil {
			continue
		}
		if _, err := n.resolve(list, a.o.AllowWildcard); err != nil {
			out = append(out, annotationProblem(a.name, value, err))
		}
	}
	return out
}

func annotationProblem(name, value string, err error) string {
	return fmt.Sprintf("annotation %q: value %s: %v", name, quoted(cut(value)), err)
}

// resolvedValues are the values as templates see them: a list with names would
// be no list to them.
func (i *Injector) resolvedValues() map[string]any {
	if i.rangesKey() == "" {
		return i.cfg.RawValues
	}
	raw := runtime.DeepCopyJSON(i.cfg.RawValues)
	global, _ := raw["global"].(map[string]any)
	if proxy, ok := global["proxy"].(map[string]any); ok {
		proxy["includeIPRanges"], proxy["excludeIPRanges"] = i.include.list.String(), i.exclude.list.String()
	}
	return raw
}

// resolvedAnnotations are a pod's annotations as templates see them.
func resolvedAnnotations(annotations map[string]string, s *Settings) map[string]string {
	out := annotations
	for name, resolved := range s.namedLists {
		if _, ok := annotations[name]; !ok {
			continue
		}
		out = maps.Clone(out) // of which there are two at most
		out[name] = resolved
	}
	return out
}
