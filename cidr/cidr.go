// Package cidr reads address-range lists in Istio's grammar and does set
// algebra on them.
//
// Contract: every function is pure; a List is immutable and may be shared
// between goroutines; two lists that capture the same addresses by ranges have
// the same normal form. Host bits are masked, IPv4-mapped IPv6 is IPv4,
// families are kept apart, and each family is the minimal disjoint cover in
// ascending order. Set arithmetic is done by go4.org/netipx.
package cidr

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"
)

var (
	allV4 = netip.MustParsePrefix("0.0.0.0/0")
	allV6 = netip.MustParsePrefix("::/0")

	// mappedBlock holds the IPv4-mapped addresses. They never appear as IPv6
	// destinations, and a range inside the block would read back as IPv4.
	mappedBlock = netip.MustParsePrefix("::ffff:0:0/96")
)

// List is a parsed address-range list: a wildcard, or the minimal disjoint
// cover per family, plus names that are not resolved yet. The zero value is
// the empty list, which captures nothing.
type List struct {
	wildcard bool
	names    []string       // sorted, unique
	v4, v6   []netip.Prefix // sorted, disjoint, masked, minimal
}

// Wildcard is the list "*": every address of both families.
func Wildcard() List { return List{wildcard: true} }

// FromPrefixes is the list of the given prefixes. Invalid prefixes are left
// out; host bits are masked and IPv4-mapped prefixes become IPv4.
func FromPrefixes(ps ...netip.Prefix) List {
	var b netipx.IPSetBuilder
	for _, p := range ps {
		if p.IsValid() {
			b.AddPrefix(unmap(p))
		}
	}
	return fromBuilder(&b)
}

// unmap turns a prefix inside ::ffff:0:0/96 into the IPv4 prefix it means.
func unmap(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked()
	}
	return p.Masked()
}

func fromBuilder(b *netipx.IPSetBuilder) List {
	set, err := b.IPSet()
	if err != nil {
		// Only invalid prefixes cause it, and none is ever added.
		panic("cidr: " + err.Error())
	}
	rs := set.Ranges()
	ps := make([]netip.Prefix, 0, len(rs))
	for _, r := range rs {
		ps = r.AppendPrefixes(ps)
	}
	// netip orders IPv4 before IPv6, so the families are two runs.
	n, _ := slices.BinarySearchFunc(ps, true, func(p netip.Prefix, _ bool) int {
		if p.Addr().Is4() {
			return -1
		}
		return 1
	})
	return List{v4: ps[:n:n], v6: ps[n:]}
}

// IsWildcard reports whether the list is "*". "0.0.0.0/0,::/0" is not: it
// captures the same addresses but is written, and shown, as two ranges.
func (l List) IsWildcard() bool { return l.wildcard }

// IsEmpty reports whether the list captures nothing and has no names.
func (l List) IsEmpty() bool {
	return !l.wildcard && len(l.v4) == 0 && len(l.v6) == 0 && len(l.names) == 0
}

// V4 is the IPv4 cover; 0.0.0.0/0 for a wildcard. The caller owns the slice.
func (l List) V4() []netip.Prefix {
	if l.wildcard {
		return []netip.Prefix{allV4}
	}
	return slices.Clone(l.v4)
}

// V6 is the IPv6 cover; ::/0 for a wildcard. The caller owns the slice.
func (l List) V6() []netip.Prefix {
	if l.wildcard {
		return []netip.Prefix{allV6}
	}
	return slices.Clone(l.v6)
}

// Prefixes is V4 followed by V6.
func (l List) Prefixes() []netip.Prefix { return append(l.V4(), l.V6()...) }

// OnlyV4 is the list without its IPv6 ranges and names.
func (l List) OnlyV4() List {
	if l.wildcard {
		return List{v4: []netip.Prefix{allV4}}
	}
	return List{v4: l.v4}
}

// OnlyV6 is the list without its IPv4 ranges and names.
func (l List) OnlyV6() List {
	if l.wildcard {
		return List{v6: []netip.Prefix{allV6}}
	}
	return List{v6: l.v6}
}

// ContainsList reports whether every address of o is in the list. Names of
// either list stand for no address.
func (l List) ContainsList(o List) bool {
	for _, ps := range [][]netip.Prefix{o.OnlyV4().v4, o.OnlyV6().v6} {
		for _, p := range ps {
			if !l.ContainsPrefix(p) {
				return false
			}
		}
	}
	return true
}

// Names are the unresolved names, sorted. The caller owns the slice.
func (l List) Names() []string { return slices.Clone(l.names) }

// String is the normal form: "*", "", or names first, then IPv4, then IPv6,
// joined by commas. Parse reads it back to an equal list.
func (l List) String() string {
	if l.wildcard {
		return "*"
	}
	buf := make([]byte, 0, 20*(len(l.names)+len(l.v4))+44*len(l.v6))
	sep := func() {
		if len(buf) > 0 {
			buf = append(buf, ',')
		}
	}
	for _, n := range l.names {
		sep()
		buf = append(buf, n...)
	}
	for _, ps := range [2][]netip.Prefix{l.v4, l.v6} {
		for _, p := range ps {
			sep()
			buf = p.AppendTo(buf)
		}
	}
	return string(buf)
}

// MarshalText is String, so that a List shows its ranges in JSON and YAML.
func (l List) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// MissingFamily reports that a list has ranges of one family only, so that
// all traffic of the other family is outside it: ("IPv4", "IPv6", true). It is
// false for a wildcard, an empty list, and a list with names.
func (l List) MissingFamily() (have, missing string, ok bool) {
	switch {
	case l.wildcard || len(l.names) > 0:
		return "", "", false
	case len(l.v4) > 0 && len(l.v6) == 0:
		return "IPv4", "IPv6", true
	case len(l.v6) > 0 && len(l.v4) == 0:
		return "IPv6", "IPv4", true
	}
	return "", "", false
}

// Equal reports whether both lists have the same normal form.
func (l List) Equal(o List) bool {
	return l.wildcard == o.wildcard && slices.Equal(l.names, o.names) &&
		slices.Equal(l.v4, o.v4) && slices.Equal(l.v6, o.v6)
}

// Contains reports whether a is in one of the ranges. A zone is ignored, as
// the kernel matches addresses without it. Unresolved names contain nothing.
func (l List) Contains(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	a = a.Unmap().WithZone("")
	if l.wildcard {
		return true
	}
	return covers(l.family(a), netip.PrefixFrom(a, a.BitLen()))
}

// ContainsPrefix reports whether every address of p is in the list.
func (l List) ContainsPrefix(p netip.Prefix) bool {
	if !p.IsValid() {
		return false
	}
	p = unmap(p)
	return l.wildcard || covers(l.family(p.Addr()), p)
}

// Overlaps reports whether some address is in both lists.
func (l List) Overlaps(o List) bool {
	if l.wildcard || o.wildcard {
		return len(l.Prefixes()) > 0 && len(o.Prefixes()) > 0
	}
	return overlap(l.v4, o.v4) || overlap(l.v6, o.v6)
}

func (l List) family(a netip.Addr) []netip.Prefix {
	if a.Is4() {
		return l.v4
	}
	return l.v6
}

// covers reports whether p lies in one prefix of ps. One is enough: in a
// minimal cover an aligned block is never split over several prefixes.
func covers(ps []netip.Prefix, p netip.Prefix) bool {
	i, found := slices.BinarySearchFunc(ps, p.Addr(), func(q netip.Prefix, a netip.Addr) int {
		return q.Addr().Compare(a)
	})
	if !found {
		i--
	}
	return i >= 0 && ps[i].Bits() <= p.Bits() && ps[i].Contains(p.Addr())
}

func overlap(a, b []netip.Prefix) bool {
	for i, j := 0, 0; i < len(a) && j < len(b); {
		if a[i].Overlaps(b[j]) {
			return true
		}
		if a[i].Addr().Less(b[j].Addr()) {
			i++
		} else {
			j++
		}
	}
	return false
}

// Union is every range (and name) of both lists; a wildcard wins.
func (l List) Union(o List) List {
	if l.wildcard || o.wildcard {
		return Wildcard()
	}
	u := FromPrefixes(append(l.Prefixes(), o.Prefixes()...)...)
	u.names = normalNames(slices.Concat(l.names, o.names))
	return u
}

// Subtract is every address of l that is not in o. Names must be resolved
// first: an unresolved name stands for no address, and is not in the result.
func (l List) Subtract(o List) List {
	if l.wildcard && o.onlyNames() {
		return l
	}
	var b netipx.IPSetBuilder
	for _, p := range l.Prefixes() {
		b.AddPrefix(p)
	}
	for _, p := range o.Prefixes() {
		b.RemovePrefix(p)
	}
	r := fromBuilder(&b)
	if slices.ContainsFunc(r.v6, func(p netip.Prefix) bool { return p.Addr().Is4In6() && p.Bits() >= 96 }) {
		b.RemovePrefix(mappedBlock)
		r = fromBuilder(&b)
	}
	return r
}

// Intersect is every address that is in both lists. Names must be resolved
// first: an unresolved name stands for no address, and is not in the result.
func (l List) Intersect(o List) List {
	switch {
	case l.wildcard && o.wildcard:
		return l
	case l.wildcard:
		return List{v4: o.v4, v6: o.v6}
	case o.wildcard:
		return List{v4: l.v4, v6: l.v6}
	}
	// Aligned blocks either nest or are apart, so keeping the prefixes of one
	// list that lie in the other, both ways, is the whole intersection.
	var both []netip.Prefix
	for _, p := range l.Prefixes() {
		if o.ContainsPrefix(p) {
			both = append(both, p)
		}
	}
	for _, p := range o.Prefixes() {
		if l.ContainsPrefix(p) {
			both = append(both, p)
		}
	}
	return FromPrefixes(both...)
}

// onlyNames reports a list without a single address.
func (l List) onlyNames() bool { return !l.wildcard && len(l.v4) == 0 && len(l.v6) == 0 }

// Resolve replaces every name by the list f gives for it. All failures are
// reported together, in the order of Names; a list that itself has names is a
// failure. A list without names comes back as it is, and f is not called.
func (l List) Resolve(f func(name string) (List, error)) (List, error) {
	out := List{wildcard: l.wildcard, v4: l.v4, v6: l.v6}
	var errs []error
	for _, n := range l.names {
		r, err := f(n)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("resolve address range name %q: %w", n, err))
		case len(r.names) > 0:
			errs = append(errs, fmt.Errorf("resolve address range name %q: the answer has names itself: %s",
				n, strings.Join(r.names, ", ")))
		default:
			out = out.Union(r)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return List{}, err
	}
	return out, nil
}

func normalNames(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return slices.Compact(names)
}
