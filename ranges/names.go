package ranges

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/cidr"
)

// Keyword is what one of a list's names stands for on a cluster.
type Keyword struct {
	Ranges cidr.List
	// From is the evidence, for people: "ServiceCIDR (servicecidr/kubernetes), node podCIDRs (node/a)".
	From string
	// Missing says why the name stands for nothing yet, and how to mend that.
	// While it is not empty, Ranges are of no use.
	Missing string
	grades  map[Kind]Grade // of the evidence
}

// Names is what the names depend on a cluster stand for. It does not change.
type Names struct {
	Platform           string
	Cluster, APIServer Keyword
	// Lost says, where Keep kept the cluster's ranges, that the evidence for them
	// is gone, and which. It is among the warnings, too.
	Lost     string
	Warnings []string

	facts *Facts
}

// Names are the names by what the facts say. Facts of nothing know no name.
func (f *Facts) Names(o Options) *Names {
	if f == nil {
		return nil
	}
	n := &Names{facts: f}
	if o.Platform != "" {
		name, ok := Canonical(o.Platform)
		if !ok {
			why := fmt.Sprintf("global.platform %q: not a known platform; use auto or one of %s", clip(o.Platform), strings.Join(Platforms(), ", "))
			return &Names{facts: f, Platform: Unknown, Cluster: Keyword{Missing: why}, APIServer: f.apiServerKeyword()}
		}
		o.Platform = name
	}
	r := f.Resolve(o)
	n.Platform, n.Warnings, n.APIServer = r.Platform, slices.Concat(r.Warnings, f.unconfirmedDefaults(&r)), f.apiServerKeyword()
	n.Cluster = Keyword{Ranges: r.Service.Union(r.Pod), From: r.sources(), grades: r.grades()}
	if !r.Known() {
		n.Cluster.Missing = r.missing()
	}
	return n
}

// unconfirmedDefaults are warnings about defaults that were taken by the
// administrator's word alone.
func (f *Facts) unconfirmedDefaults(r *Result) []string {
	var out []string
	for _, e := range r.Evidence {
		confirmed := e.rank == rankPodChecked || e.Kind == Service && len(f.kubernetes) > 0
		if e.Verdict != Used || e.Where.Document != defaultsTable || confirmed {
			continue
		}
		out = append(out, fmt.Sprintf("%s is the default of %s for %ss; nothing in use confirms it", e.Value, r.Platform, e.Kind))
		if p, ok := lookup(r.Platform); ok && p.note != "" {
			out = once(out, p.note)
		}
	}
	return out
}

func (f *Facts) apiServerKeyword() Keyword {
	if len(f.apiServer) == 0 {
		return Keyword{Missing: "the Service default/kubernetes is not known"}
	}
	ps := make([]netip.Prefix, 0, len(f.apiServer))
	var from []string
	for _, a := range f.apiServer {
		ps = append(ps, netip.PrefixFrom(a.Addr, a.Addr.BitLen()))
		from = once(from, a.What)
	}
	return Keyword{Ranges: cidr.FromPrefixes(ps...), From: strings.Join(from, ", ")}
}

// sources are those of what was used, as text.
func (r *Result) sources() string {
	const most = 4
	var out []string
	for _, e := range r.Evidence {
		if e.Verdict == Used {
			out = once(out, e.Source+" ("+e.Where.Document+")")
		}
	}
	slices.Sort(out)
	if len(out) > most {
		out = append(out[:most], fmt.Sprintf("%d more", len(out)-most))
	}
	return printable(strings.Join(out, ", "))
}

// grades are the lowest of what was used for each kind.
func (r *Result) grades() map[Kind]Grade {
	out := map[Kind]Grade{}
	for _, e := range r.Evidence {
		if have, ok := out[e.Kind]; e.Verdict == Used && (!ok || worse(e.Grade, have)) {
			out[e.Kind] = e.Grade
		}
	}
	return out
}

func worse(a, b Grade) bool {
	order := []Grade{Complete, Claimed, Assumed, LowerBound}
	return slices.Index(order, a) > slices.Index(order, b)
}

// missing is why the ranges are not known whole, in one line.
func (r *Result) missing() string {
	var out []string
	for _, m := range r.Missing {
		s := fmt.Sprintf("%s ranges: %s", m.Kind, m.Why)
		if m.Command != "" {
			s += "; this supplies them: " + m.Command
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		out = append(out, "a range is missing")
	}
	return strings.Join(out, "; ")
}

// Resolve is what a name stands for: one of cidr.Keywords. It is false for any
// other name. A name that cannot be resolved has a Missing.
func (n *Names) Resolve(name string) (Keyword, bool) {
	if l, ok := cidr.Constant(name); ok {
		return Keyword{Ranges: l, From: "the same on every cluster"}, true
	}
	if !cidr.IsKeyword(name) {
		return Keyword{}, false
	}
	if n == nil {
		return Keyword{Missing: "nothing is known of the cluster"}, true
	}
	if name == cidr.APIServer {
		return n.APIServer, true
	}
	return n.Cluster, true
}

// LeftOut is Facts.LeftOut of the facts behind the names.
func (n *Names) LeftOut(include cidr.List) []string {
	if n == nil {
		return nil
	}
	return n.facts.LeftOut(include)
}

// Keep is next, with the cluster's ranges of last where the evidence for them
// has been lost since: where they cannot be resolved any more, or by a weaker
// source only. A warning says so.
func Keep(last, next *Names) *Names {
	if last == nil || next == nil || last.Cluster.Missing != "" {
		return next
	}
	why := next.Cluster.Missing
	for _, k := range []Kind{Service, Pod} {
		if g, before := next.Cluster.grades[k], last.Cluster.grades[k]; why == "" && worse(g, before) && !next.Cluster.Ranges.Equal(last.Cluster.Ranges) {
			why = fmt.Sprintf("the %s ranges are only %s now, by %s", k, g, next.Cluster.From)
		}
	}
	if why == "" {
		return next
	}
	kept := *next
	kept.Cluster, kept.Platform = last.Cluster, last.Platform
	kept.Lost = fmt.Sprintf("the evidence for %q was lost: %s; %s, by %s, stays in force", cidr.Cluster, why, last.Cluster.Ranges, last.Cluster.From)
	kept.Warnings = append([]string{kept.Lost}, next.Warnings...)
	return &kept
}

// LeftOut are warnings about an include list that leaves out addresses of the
// cluster: what goes there bypasses the sidecar.
func (f *Facts) LeftOut(include cidr.List) []string {
	if f == nil || include.IsWildcard() || include.IsEmpty() {
		return nil
	}
	var out []string
	say := func(format string, args ...any) { out = append(out, printable(fmt.Sprintf(format, args...))) }
	named := map[netip.Addr]bool{}
	for _, a := range slices.Concat(f.apiServer, f.dns) {
		if strings.HasPrefix(a.What, "Service ") && !named[a.Addr] && !include.Contains(a.Addr) {
			say("leaves out %s of %s: traffic to it bypasses the sidecar", a.Addr, a.What)
			named[a.Addr] = true
		}
	}
	for _, c := range []struct {
		what string
		in   []Address
	}{{"Services", f.ClusterIP}, {"pods", f.PodIP}} {
		var first Address
		count := 0
		for _, a := range c.in {
			if !named[a.Addr] && !include.Contains(a.Addr) {
				if count++; count == 1 {
					first = a
				}
			}
		}
		if count > 0 {
			say("leaves out %d of %d addresses of %s, such as %s of %s: traffic to them bypasses the sidecar", count, len(c.in), c.what, first.Addr, first.What)
		}
	}
	if have, missing, ok := include.MissingFamily(); ok && f.uses(Family(missing)) {
		say("has %s ranges only, although the cluster uses %s: all %s traffic bypasses the sidecar", have, missing, missing)
	}
	return out
}

// uses reports that an address of the family is in use.
func (f *Facts) uses(family Family) bool {
	return slices.ContainsFunc(slices.Concat(f.ClusterIP, f.PodIP), func(a Address) bool { return familyOf(a.Addr) == family })
}

// NoCluster are the names where nothing is known of a cluster, with what to do
// about it.
func NoCluster(why string) *Names {
	k := Keyword{Missing: why}
	return &Names{Platform: Unknown, Cluster: k, APIServer: k}
}
