package inject

import (
	"maps"
	"strings"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/ranges"
)

// RangeNames returns the ranges of the names in range lists under a configuration.
// live is set when the data was read from the cluster itself.
func RangeNames(cfg *config.Config, data *ranges.ClusterData, live bool) *ranges.NamedRanges {
	name := cfg.Values.Global.Platform
	if name == platformAuto {
		name = ""
	}
	return data.NamedRanges(ranges.Options{Platform: name, Live: live})
}

// platformAuto is the value of global.platform that means: as detected.
const platformAuto = "auto"

// rangeList is a list whose names are resolved.
type rangeList struct {
	list cidr.List
	// evidence is the source of each name's ranges; empty where there are no names.
	evidence string
	// fallback is why "cluster" resolves to global.platformFallback.
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

// resolve resolves the names in a list. There is a problem for each name without
// ranges.
func (n rangeNames) resolve(list cidr.List, wildcard bool) (rangeList, problem.List) {
	out := rangeList{list: list}
	if len(list.Names()) == 0 {
		return out, nil
	}
	var evidence []string
	var problems problem.List
	resolved, err := list.Resolve(func(name string) (cidr.List, error) {
		l, from, p := n.lookup(name, &out)
		if p == nil && l.IsWildcard() && !wildcard {
			p = invalidName(name, `resolves to "*" by global.platformFallback, which an exclude list cannot contain`, "use CIDR ranges")
		}
		if p != nil {
			problems.Add(*p)
			return cidr.List{}, nil
		}
		evidence = append(evidence, name+": "+from)
		return l, nil
	})
	if err != nil {
		problems.Add(problem.Of(err)...)
	}
	if len(problems) > 0 {
		return out, problems
	}
	out.list, out.evidence = resolved, strings.Join(evidence, "; ")
	return out, nil
}

// lookup returns the ranges of a single name and the evidence for them.
func (n rangeNames) lookup(name string, out *rangeList) (l cidr.List, from string, p *problem.Problem) {
	if l, ok := n.global.NamedRanges[name]; ok {
		return l, "values global.namedRanges." + name, nil
	}
	k, ok := n.names.Resolve(name)
	switch {
	case !ok:
		rule, fix := config.UnknownRangeName(name, n.global.NamedRanges)
		return l, "", invalidName("", rule, fix)
	case k.Missing == "":
		return k.Ranges, k.From, nil
	case name == cidr.Cluster && !n.global.PlatformFallback.IsEmpty():
		out.fallback = k.Missing
		return n.global.PlatformFallback, "values global.platformFallback", nil
	}
	fix := ""
	if name == cidr.Cluster {
		fix = "or set the ranges, or global.platformFallback, which is used instead"
	}
	return l, "", invalidName(name, "cannot be resolved: "+k.Missing, fix)
}

func invalidName(name, rule, fix string) *problem.Problem {
	p := problem.Invalid("", name, rule, fix)
	return &p
}

// unresolvedNames are the problems with names in a pod's range lists, including
// lists that are rejected for other problems.
func (n rangeNames) unresolvedNames(annotations map[string]string) problem.List {
	var out problem.List
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
		_, problems := n.resolve(list, a.o.AllowWildcard)
		out.Add(problems.At(annotation.Path(a.name, false))...)
	}
	return out
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
