package ranges

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// Options of Resolve.
type Options struct {
	// Platform is specified by the administrator, which disables
	// detection and allows the platform's defaults; empty to detect it.
	Platform string
	// Live marks documents that are a complete reading of one cluster. The defaults
	// of the platform that is detected may then be used for a range, where
	// addresses in use confirm them.
	Live bool
}

// Missing is what is not known of a kind, and how to learn it.
type Missing struct {
	Kind    Kind   `json:"kind"`
	Why     string `json:"why"`
	Command string `json:"command,omitempty"` // its output is a document to give
}

// Result is what is known of a cluster's ranges.
type Result struct {
	Platform     string
	Service, Pod cidr.List
	Undetermined []Kind // nothing is known
	Incomplete   []Kind // what is known is a part
	Missing      []Missing
	Evidence     []Evidence // in the order of the documents, with their Status
	Warnings     []string
	// Given is a documented value to take as it is although a kind is missing;
	// only Default sets it.
	Given string

	lacking []string // the warnings about a kind that lacks a family
}

// Known reports whether both kinds are complete.
func (r *Result) Known() bool { return len(r.Undetermined)+len(r.Incomplete) == 0 }

// IncludeIPRanges is the value for includeIPRanges. It is false while a kind is
// not complete: with a part of them, the rest would silently bypass the sidecar.
func (r *Result) IncludeIPRanges() (string, bool) {
	switch {
	case r.Given != "":
		return r.Given, true
	case !r.Known():
		return "", false
	}
	return r.Service.Union(r.Pod).String(), true
}

// Of is the list of a kind.
func (r *Result) Of(k Kind) cidr.List {
	if k == Service {
		return r.Service
	}
	return r.Pod
}

// Resolve decides which evidence holds, for each kind and family by itself.
func (d *ClusterData) Resolve(o Options) Result {
	res := Result{Platform: o.Platform, Warnings: slices.Clone(d.Warnings), Evidence: slices.Clone(d.Evidence)}
	if o.Platform == "" {
		var conflict []string
		if res.Platform, conflict = d.Detect(); conflict != nil {
			res.warn("inputs describe several platforms (%s); set --platform", strings.Join(conflict, ", "))
		}
		if o.Live {
			res.Evidence = append(res.Evidence, d.confirmed(res.Platform)...)
		}
	} else {
		res.Evidence = append(res.Evidence, d.defaults(o.Platform)...)
	}
	v := resolver{data: d, res: &res}
	res.Service, res.Pod = v.kind(Service), v.kind(Pod)
	v.families()
	v.width()
	return res
}

func (r *Result) warn(format string, args ...any) {
	if text := problem.Printable(fmt.Sprintf(format, args...)); len(r.Warnings) < maxNotes && !slices.Contains(r.Warnings, text) {
		r.Warnings = append(r.Warnings, text)
	}
}

type resolver struct {
	data *ClusterData
	res  *Result
}

// kind resolves one kind and lists what is missing.
func (v *resolver) kind(k Kind) cidr.List {
	var out cidr.List
	var grades []Grade
	for _, family := range []Family{IPv4, IPv6} {
		l, grade := v.family(k, family)
		if !l.IsEmpty() {
			out, grades = out.Union(l), append(grades, grade)
		}
	}
	partial := slices.Contains(grades, Minimum)
	open := false
	for _, g := range v.data.gaps {
		if g.kind != k || g.soft && len(grades) > 0 && !partial {
			continue
		}
		open = true
		v.miss(Missing{k, g.where.String() + ": " + g.why, g.command})
	}
	switch {
	case len(grades) == 0:
		v.res.Undetermined = append(v.res.Undetermined, k)
		if !open {
			v.miss(Missing{k, "not in the documents", command(v.res.Platform, k)})
		}
	case partial || open:
		v.res.Incomplete = append(v.res.Incomplete, k)
		if !open {
			v.miss(Missing{k, "only a part of it is in the documents", command(v.res.Platform, k)})
		}
	}
	return out
}

// miss lists what is missing, each command once.
func (v *resolver) miss(m Missing) {
	if len(v.res.Missing) >= maxNotes {
		return
	}
	m.Why, m.Command = problem.Printable(m.Why), problem.Printable(m.Command)
	for _, have := range v.res.Missing {
		if have.Kind == m.Kind && (have.Why == m.Why || have.Command == m.Command && m.Command != "") {
			return
		}
	}
	v.res.Missing = append(v.res.Missing, m)
}

// family finds the evidence of the highest rank that the cluster's addresses do
// not contradict.
func (v *resolver) family(k Kind, family Family) (cidr.List, Grade) {
	byRank := map[int][]int{}
	var ranks []int
	for i, e := range v.res.Evidence {
		if e.Kind == k && e.Family == family {
			if byRank[e.rank] == nil {
				ranks = append(ranks, e.rank)
			}
			byRank[e.rank] = append(byRank[e.rank], i)
		}
	}
	slices.Sort(ranks)
	var won cidr.List
	var grade Grade
	var by string
	for _, rank := range ranks {
		group := byRank[rank]
		l := v.union(group)
		reason := v.contradiction(k, rank, l, v.grade(group))
		if reason == "" {
			reason = v.disagree(group)
		}
		switch {
		case reason != "":
			v.mark(group, Rejected, reason)
			v.warnRejected(group, reason, !won.IsEmpty())
		case won.IsEmpty():
			won, grade, by = l, v.grade(group), v.res.Evidence[group[0]].Source
			v.mark(group, Used, "")
		default:
			v.mark(group, Outranked, "by "+by)
			v.compare(k, won, by, group, l)
		}
	}
	return won, grade
}

func (v *resolver) union(group []int) cidr.List {
	var ps []netip.Prefix
	for _, i := range group {
		ps = append(ps, v.res.Evidence[i].Ranges.Prefixes()...)
	}
	return cidr.FromPrefixes(ps...)
}

// grade is the grade of evidence that adds up: parts beside a whole leave it
// whole.
func (v *resolver) grade(group []int) Grade {
	best := Minimum
	for _, i := range group {
		if g := v.res.Evidence[i].Grade; best == Minimum || g == Complete || g == Configured && best == Defaulted {
			best = g
		}
	}
	return best
}

func (v *resolver) mark(group []int, status Status, reason string) {
	for _, i := range group {
		v.res.Evidence[i].Status, v.res.Evidence[i].Reason = status, reason
	}
}

// warnRejected warns about rejected evidence. Slices of nodes are irrelevant where
// pods have other addresses, and so is a guess below a better answer.
func (v *resolver) warnRejected(group []int, reason string, answered bool) {
	for _, i := range group {
		e := v.res.Evidence[i]
		if e.Grade == Minimum && (answered || len(v.data.native) > 0) || e.Grade == Defaulted && answered {
			continue
		}
		v.res.warn("%s: %s ignored: %s", e.Where, e.Value, reason)
	}
}

// contradiction returns why a group cannot be right, or nothing.
func (v *resolver) contradiction(k Kind, rank int, l cidr.List, grade Grade) string {
	switch {
	case k == Pod && rank > rankPool && len(v.data.native) > 0:
		return v.data.native[0]
	case k == Service:
		if a, ok := outside(l, v.data.ClusterIP); ok {
			return fmt.Sprintf("%s of %s is outside; the document may be stale or of another cluster", a.Addr, a.What)
		}
		return v.unconfirmed(rank, l)
	}
	if a, ok := outside(l, v.data.PodIP); ok {
		return fmt.Sprintf("%s of %s is outside; the document may be stale or of another cluster", a.Addr, a.What)
	}
	if rank > rankPool && grade != Minimum {
		four := isV4(l)
		for _, p := range v.data.NodeCIDR {
			if p.Addr().Is4() == four && !l.ContainsPrefix(p) {
				return fmt.Sprintf("%s of a node is outside; the document may be stale or of another cluster", p)
			}
		}
	}
	return ""
}

// unconfirmed rejects a platform's default where the Service kubernetes shows
// another base.
func (v *resolver) unconfirmed(rank int, l cidr.List) string {
	if rank != rankUncheckedOnly {
		return ""
	}
	for _, p := range l.Prefixes() {
		for _, a := range v.data.kubernetes {
			if a.Is4() == p.Addr().Is4() && !v.data.kubernetesIs(p) {
				return fmt.Sprintf("the Service kubernetes has %s, which is not the first address of %s", a, p)
			}
		}
	}
	return ""
}

// outside finds an address of the list's family that the list does not hold.
func outside(l cidr.List, addresses []Address) (Address, bool) {
	four := isV4(l)
	for _, a := range addresses {
		if a.Addr.Is4() == four && !l.Contains(a.Addr) {
			return a, true
		}
	}
	return Address{}, false
}

// isV4 is the family of a list that has one.
func isV4(l cidr.List) bool { return len(l.V4()) > 0 }

// disagree reports that two documents of one rank state different whole ranges.
func (v *resolver) disagree(group []int) string {
	type statement struct {
		document string
		root     int
	}
	whole := map[statement]cidr.List{}
	var order []statement
	for _, i := range group {
		e := v.res.Evidence[i]
		if !e.whole {
			continue
		}
		s := statement{e.Where.Document, e.root}
		if _, ok := whole[s]; !ok {
			order = append(order, s)
		}
		whole[s] = whole[s].Union(e.Ranges)
	}
	for _, s := range order[min(1, len(order)):] {
		if first := whole[order[0]]; !whole[s].Equal(first) {
			return fmt.Sprintf("the documents disagree: %s in %s, %s in %s; pass documents of one cluster",
				first, order[0].document, whole[s], s.document)
		}
	}
	return ""
}

// compare warns of a source that differs from the one that was used.
func (v *resolver) compare(k Kind, won cidr.List, by string, group []int, l cidr.List) {
	grade := v.grade(group)
	if grade == Minimum && won.ContainsList(l) || grade == Defaulted || won.Equal(l) {
		return
	}
	e := v.res.Evidence[group[0]]
	v.res.warn("%s: %s has %s for %ss; using %s from %s", e.Where, e.Source, l, k, won, by)
}

// families looks for a family that the cluster has and a kind lacks: the other
// kind has it, or an address in use.
func (v *resolver) families() {
	lacking := map[Family][]string{}
	for _, k := range []Kind{Service, Pod} {
		mine, used := v.res.Of(k), v.res.Service.Union(v.res.Pod).Union(v.inUse(k))
		_, missing, ok := mine.MissingFamily()
		if !ok || missing == string(IPv6) && len(used.V6()) == 0 || missing == string(IPv4) && len(used.V4()) == 0 {
			continue
		}
		lacking[Family(missing)] = append(lacking[Family(missing)], string(k))
		if !slices.Contains(v.res.Incomplete, k) {
			v.res.Incomplete = append(v.res.Incomplete, k)
			v.miss(Missing{k, "its " + missing + " range is not in the documents", command(v.res.Platform, k)})
		}
	}
	for _, f := range [][2]Family{{IPv4, IPv6}, {IPv6, IPv4}} {
		have, missing := f[0], f[1]
		if kinds := lacking[missing]; len(kinds) > 0 {
			text := fmt.Sprintf("%s ranges are %s only, although the cluster uses %s too: that traffic would bypass the sidecar", strings.Join(kinds, " and "), have, missing)
			v.res.warn("%s", text)
			v.res.lacking = append(v.res.lacking, text)
		}
	}
}

// inUse is one address of a kind in use for each family.
func (v *resolver) inUse(k Kind) cidr.List {
	addresses := v.data.ClusterIP
	if k == Pod {
		addresses = v.data.PodIP
	}
	var ps []netip.Prefix
	seen := map[bool]bool{}
	for _, a := range addresses {
		if four := a.Addr.Is4(); !seen[four] {
			seen[four] = true
			ps = append(ps, netip.PrefixFrom(a.Addr, a.Addr.BitLen()))
		}
	}
	return cidr.FromPrefixes(ps...)
}

// width warns of ranges that take in far more than a cluster.
func (v *resolver) width() {
	for _, k := range []Kind{Service, Pod} {
		for _, p := range v.res.Of(k).Prefixes() {
			if p.Addr().Is4() && p.Bits() <= 8 || p.Addr().Is6() && p.Bits() <= 16 {
				v.res.warn("%s range %s is very wide: every destination in it is treated as part of the cluster", k, p)
			}
		}
	}
}

// confirmed are those of a platform's defaults that agree with the addresses in
// use: services by the Service kubernetes, pods by pods and slices of nodes.
func (d *ClusterData) confirmed(name string) []Evidence {
	var out []Evidence
	for _, e := range d.defaults(name) {
		v := resolver{data: d}
		switch {
		case v.contradiction(e.Kind, e.rank, e.Ranges, e.Grade) != "":
		case e.Kind == Service && len(d.kubernetes) > 0 || e.Kind == Pod && e.rank == rankPodChecked:
			e.Source += " that addresses in use confirm"
			e.rank = map[Kind]int{Service: rankChecked, Pod: rankPodChecked}[e.Kind]
			out = append(out, e)
		}
	}
	return out
}
