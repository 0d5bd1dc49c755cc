package ranges

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// Resolution is what one of a list's names expands to on a cluster.
type Resolution struct {
	Ranges cidr.List
	// From is the evidence, for people: "ServiceCIDR (servicecidr/kubernetes), node podCIDRs (node/a)".
	From string
	// Missing is why the name cannot be resolved yet, and how to fix that.
	// While it is not empty, Ranges are of no use.
	Missing string
	grades  map[Kind]Grade // of the evidence
}

// NamedRanges maps cluster-dependent names to their ranges. It is immutable.
type NamedRanges struct {
	Platform           string
	Cluster, APIServer Resolution
	// Lost reports, where Keep kept the cluster's ranges, that the evidence for them
	// is gone, and which. It is among the warnings, too.
	Lost     string
	Warnings []string

	data *ClusterData
}

// NamedRanges maps the names to the ranges in the data. Without data no name is resolved.
func (d *ClusterData) NamedRanges(o Options) *NamedRanges {
	if d == nil {
		return nil
	}
	n := &NamedRanges{data: d}
	if o.Platform != "" {
		name, ok := Canonical(o.Platform)
		if !ok {
			why := fmt.Sprintf("global.platform: %q: unknown platform; use auto or one of %s", problem.Short(o.Platform), strings.Join(Platforms(), ", "))
			return &NamedRanges{data: d, Platform: Unknown, Cluster: Resolution{Missing: why}, APIServer: d.apiServerAddresses()}
		}
		o.Platform = name
	}
	r := d.Resolve(o)
	n.Platform, n.Warnings, n.APIServer = r.Platform, slices.Concat(r.Warnings, d.unconfirmedDefaults(&r)), d.apiServerAddresses()
	// The name is then not resolved, for that reason.
	n.Warnings = slices.DeleteFunc(n.Warnings, func(w string) bool { return slices.Contains(r.lacking, w) })
	n.Cluster = Resolution{Ranges: r.Service.Union(r.Pod), From: r.sources(), grades: r.grades()}
	if !r.Known() {
		n.Cluster.Missing = r.missing()
	}
	return n
}

// unconfirmedDefaults are warnings about defaults that were taken by the
// administrator's word alone.
func (d *ClusterData) unconfirmedDefaults(r *Result) []string {
	var out []string
	for _, e := range r.Evidence {
		confirmed := e.rank == rankPodChecked || e.Kind == Service && len(d.kubernetes) > 0
		if e.Status != Used || e.Where.Document != defaultsTable || confirmed {
			continue
		}
		out = append(out, fmt.Sprintf("%s is the default of %s for %ss; no address in use confirms it", e.Value, r.Platform, e.Kind))
		if p, ok := lookup(r.Platform); ok && p.note != "" {
			out = addOnce(out, p.note)
		}
	}
	return out
}

func (d *ClusterData) apiServerAddresses() Resolution {
	if len(d.apiServer) == 0 {
		return Resolution{Missing: "Service default/kubernetes not found"}
	}
	ps := make([]netip.Prefix, 0, len(d.apiServer))
	var from []string
	for _, a := range d.apiServer {
		ps = append(ps, netip.PrefixFrom(a.Addr, a.Addr.BitLen()))
		from = addOnce(from, a.What)
	}
	return Resolution{Ranges: cidr.FromPrefixes(ps...), From: strings.Join(from, ", ")}
}

// sources are those of what was used, as text.
func (r *Result) sources() string {
	const most = 4
	var out []string
	for _, e := range r.Evidence {
		if e.Status == Used {
			out = addOnce(out, e.Source+" ("+e.Where.Document+")")
		}
	}
	slices.Sort(out)
	if len(out) > most {
		out = append(out[:most], fmt.Sprintf("%d more", len(out)-most))
	}
	return problem.Printable(strings.Join(out, ", "))
}

// grades are the lowest of what was used for each kind.
func (r *Result) grades() map[Kind]Grade {
	out := map[Kind]Grade{}
	for _, e := range r.Evidence {
		if have, ok := out[e.Kind]; e.Status == Used && (!ok || worse(e.Grade, have)) {
			out[e.Kind] = e.Grade
		}
	}
	return out
}

// missing is why the ranges are not known whole, in one line.
func (r *Result) missing() string {
	var out []string
	for _, m := range r.Missing {
		s := fmt.Sprintf("%s ranges: %s", m.Kind, m.Why)
		if m.Command != "" {
			s += "; provided by: " + m.Command
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		out = append(out, "a range is unknown")
	}
	return strings.Join(out, "; ")
}

// Resolve is what a name expands to: one of cidr.Keywords. It is false for any
// other name. A name that cannot be resolved has a Missing.
func (n *NamedRanges) Resolve(name string) (Resolution, bool) {
	if l, ok := cidr.Constant(name); ok {
		return Resolution{Ranges: l, From: "the same on every cluster"}, true
	}
	if !cidr.IsKeyword(name) {
		return Resolution{}, false
	}
	if n == nil {
		return Resolution{Missing: "no data about the cluster"}, true
	}
	if name == cidr.APIServer {
		return n.APIServer, true
	}
	return n.Cluster, true
}

// Omitted is ClusterData.Omitted of the data behind the names.
func (n *NamedRanges) Omitted(include cidr.List) string {
	if n == nil {
		return ""
	}
	return n.data.Omitted(include)
}

// Uses is ClusterData.Uses of the data behind the names.
func (n *NamedRanges) Uses(f Family) bool { return n != nil && n.data != nil && n.data.Uses(f) }

// Keep is next, with the cluster's ranges of last where the evidence for them
// has been lost since: where they cannot be resolved any more, or by a weaker
// source only. A warning reports it.
func Keep(last, next *NamedRanges) *NamedRanges {
	if last == nil || next == nil || last.Cluster.Missing != "" {
		return next
	}
	why := next.Cluster.Missing
	for _, k := range []Kind{Service, Pod} {
		if g, before := next.Cluster.grades[k], last.Cluster.grades[k]; why == "" && worse(g, before) && !next.Cluster.Ranges.Equal(last.Cluster.Ranges) {
			why = fmt.Sprintf("%s ranges are now only %s, from %s", k, g, next.Cluster.From)
		}
	}
	if why == "" {
		return next
	}
	kept := *next
	kept.Cluster, kept.Platform = last.Cluster, last.Platform
	kept.Lost = fmt.Sprintf("source for %q lost: %s; keeping the previous ranges %s, from %s", cidr.Cluster, why, last.Cluster.Ranges, last.Cluster.From)
	kept.Warnings = append([]string{kept.Lost}, next.Warnings...)
	return &kept
}

// kept is what is stored of the cluster's ranges, for Keep after a restart.
type kept struct {
	Platform string         `json:"platform"`
	Ranges   string         `json:"ranges"`
	From     string         `json:"from"`
	Grades   map[Kind]Grade `json:"grades"`
}

// Stored are the cluster's ranges as JSON, for Restored; nil where they are not known.
func (n *NamedRanges) Stored() []byte {
	if n == nil || n.Cluster.Missing != "" {
		return nil
	}
	text, err := json.Marshal(kept{n.Platform, n.Cluster.Ranges.String(), n.Cluster.From, n.Cluster.grades})
	if err != nil {
		return nil // only strings
	}
	return text
}

// SameCluster reports whether two have the same ranges of the cluster, by evidence of
// the same grade.
func SameCluster(a, b *NamedRanges) bool {
	return a.Cluster.Ranges.Equal(b.Cluster.Ranges) && maps.Equal(a.Cluster.grades, b.Cluster.grades)
}

// Restored are the names of a reading that was stored, for Keep alone.
func Restored(text []byte) (*NamedRanges, error) {
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, fmt.Errorf("read stored ranges: %w", err)
	}
	list, err := cidr.Parse(k.Ranges, cidr.Options{})
	if err != nil {
		return nil, fmt.Errorf("read stored ranges: %w", err)
	}
	return &NamedRanges{
		Platform: k.Platform, APIServer: Resolution{Missing: "not stored"},
		Cluster: Resolution{Ranges: list, From: problem.Printable(k.From), grades: k.Grades},
	}, nil
}

// Omitted is what an include list omits of the addresses in use, as a warning: what
// goes there bypasses the sidecar. A family of which the list has no range at all is
// not counted: that is one fact, which MissingFamily finds.
func (d *ClusterData) Omitted(include cidr.List) string {
	if d == nil || include.IsWildcard() || include.IsEmpty() {
		return ""
	}
	_, missing, lacks := include.MissingFamily()
	omits := func(a Address) bool {
		return !include.Contains(a.Addr) && (!lacks || familyOf(a.Addr) != Family(missing))
	}
	var parts []string
	// Every pod uses these: they are the first to name.
	var first Address
	for _, a := range slices.Concat(d.apiServer, d.dns) {
		if !first.Addr.IsValid() && strings.HasPrefix(a.What, "Service ") && omits(a) {
			first = a
		}
	}
	for _, c := range []struct {
		kind Kind
		in   []Address
	}{{"Service", d.ClusterIP}, {Pod, d.PodIP}} {
		count := 0
		for _, a := range c.in {
			if !omits(a) {
				continue
			}
			if count++; !first.Addr.IsValid() {
				first = a
			}
		}
		if count > 0 {
			parts = append(parts, fmt.Sprintf("%d of %d %s", count, len(c.in), c.kind))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return problem.Printable(fmt.Sprintf("omits %s addresses in use, such as %s: traffic to them bypasses the sidecar", strings.Join(parts, " and "), first.short()))
}

// short is an address with what it is of, where that is short enough for a warning.
func (a Address) short() string {
	const most = 60
	if len(a.What) > most {
		return a.Addr.String()
	}
	return a.Addr.String() + " of " + a.What
}

// Uses reports that an address of the family is in use in the cluster.
func (d *ClusterData) Uses(family Family) bool {
	return slices.ContainsFunc(slices.Concat(d.ClusterIP, d.PodIP), func(a Address) bool { return familyOf(a.Addr) == family })
}

// NoCluster are the names where nothing is known of a cluster, with what to do
// about it.
func NoCluster(why string) *NamedRanges {
	k := Resolution{Missing: why}
	return &NamedRanges{Platform: Unknown, Cluster: k, APIServer: k}
}
