// Package cidr reads address-range lists in Istio's grammar and does set
// algebra on them.
//
// Contract: every function is pure; a List is immutable and may be shared
// between goroutines; two lists that capture the same addresses by ranges have
// the same normal form. Host bits are masked, IPv4-mapped IPv6 is IPv4,
// families are kept apart, and each family is the minimal disjoint cover in
// ascending order. The set algebra is go4.org/netipx's.
//
// Files, each using only those before it: set.go (one family), cidr.go (List),
// element.go (one element of a list), diagnose.go (what is wrong with one),
// parse.go, ports.go (lists of ports), capture.go (includes less excludes),
// keywords.go (names with a fixed meaning).
package cidr

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"
)

// all is the addresses of "*".
var all = FromPrefixes(netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"))

// List is a parsed address-range list: a wildcard, or ranges per family, plus
// names that are not resolved yet. The zero value is the empty list, which
// captures nothing.
type List struct {
	wildcard bool     // then v4 and v6 hold all addresses
	names    []string // sorted, unique
	v4, v6   family
}

// Wildcard is the list "*": every address of both families.
func Wildcard() List { return List{wildcard: true, v4: all.v4, v6: all.v6} }

// FromPrefixes is the list of the given prefixes. Invalid prefixes are skipped;
// host bits are masked and IPv4-mapped prefixes become IPv4.
func FromPrefixes(ps ...netip.Prefix) List {
	var v4, v6 netipx.IPSetBuilder
	var has4, has6 bool
	for _, p := range ps {
		if !p.IsValid() {
			continue
		}
		if p = unmap(p); p.Addr().Is4() {
			v4.AddPrefix(p)
			has4 = true
		} else {
			v6.AddPrefix(p)
			has6 = true
		}
	}
	var l List
	if has4 {
		l.v4 = build(&v4)
	}
	if has6 {
		l.v6 = build(&v6)
	}
	return l
}

// unmap turns a prefix inside ::ffff:0:0/96 into the IPv4 prefix it means.
func unmap(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked()
	}
	return p.Masked()
}

// IsWildcard reports whether the list is "*". "0.0.0.0/0,::/0" is not: it
// captures the same addresses but is written, and shown, as two ranges.
func (l List) IsWildcard() bool { return l.wildcard }

// IsEmpty reports whether the list captures nothing and has no names.
func (l List) IsEmpty() bool { return !l.hasRanges() && len(l.names) == 0 }

func (l List) hasRanges() bool { return len(l.v4.cover)+len(l.v6.cover) > 0 }

// V4 is the IPv4 cover; 0.0.0.0/0 for a wildcard. The caller owns the slice.
func (l List) V4() []netip.Prefix { return slices.Clone(l.v4.cover) }

// V6 is the IPv6 cover; ::/0 for a wildcard. The caller owns the slice.
func (l List) V6() []netip.Prefix { return slices.Clone(l.v6.cover) }

// Prefixes is V4 followed by V6.
func (l List) Prefixes() []netip.Prefix { return slices.Concat(l.v4.cover, l.v6.cover) }

// OnlyV4 is the list without its IPv6 ranges and names.
func (l List) OnlyV4() List { return List{v4: l.v4} }

// OnlyV6 is the list without its IPv4 ranges and names.
func (l List) OnlyV6() List { return List{v6: l.v6} }

// Names are the unresolved names, sorted. The caller owns the slice.
func (l List) Names() []string { return slices.Clone(l.names) }

// String is the normal form: "*", "", or names first, then IPv4, then IPv6,
// joined by commas. Parse reads it back to an equal list.
func (l List) String() string {
	if l.wildcard {
		return "*"
	}
	buf := make([]byte, 0, 20*(len(l.names)+len(l.v4.cover))+44*len(l.v6.cover))
	sep := func() {
		if len(buf) > 0 {
			buf = append(buf, ',')
		}
	}
	for _, n := range l.names {
		sep()
		buf = append(buf, n...)
	}
	for _, ps := range [2][]netip.Prefix{l.v4.cover, l.v6.cover} {
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
	case len(l.v4.cover) > 0 && len(l.v6.cover) == 0:
		return "IPv4", "IPv6", true
	case len(l.v6.cover) > 0 && len(l.v4.cover) == 0:
		return "IPv6", "IPv4", true
	}
	return "", "", false
}

// Equal reports whether both lists have the same normal form.
func (l List) Equal(o List) bool {
	return l.wildcard == o.wildcard && slices.Equal(l.names, o.names) &&
		slices.Equal(l.v4.cover, o.v4.cover) && slices.Equal(l.v6.cover, o.v6.cover)
}

// Contains reports whether a is in one of the ranges. A zone is ignored, as
// the kernel matches addresses without it. Unresolved names contain nothing.
func (l List) Contains(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return l.family(a).contains(a)
}

// ContainsPrefix reports whether every address of p is in the list.
func (l List) ContainsPrefix(p netip.Prefix) bool {
	if !p.IsValid() {
		return false
	}
	p = unmap(p)
	return l.family(p.Addr()).containsPrefix(p)
}

func (l List) family(a netip.Addr) family {
	if a.Is4() {
		return l.v4
	}
	return l.v6
}

// ContainsList reports whether every address of o is in the list. Unresolved
// names of either list contain nothing.
func (l List) ContainsList(o List) bool {
	return o.v4.subtract(l.v4).set == nil && o.v6.subtract(l.v6).set == nil
}

// Union is every range (and name) of both lists; a wildcard takes precedence.
func (l List) Union(o List) List {
	if l.wildcard || o.wildcard {
		return Wildcard()
	}
	return List{names: normalNames(slices.Concat(l.names, o.names)), v4: l.v4.union(o.v4), v6: l.v6.union(o.v6)}
}

// Subtract is every address of l that is not in o. Names must be resolved
// first: an unresolved name contains nothing, and is not in the result.
func (l List) Subtract(o List) List {
	if l.wildcard && !o.hasRanges() {
		return l
	}
	return List{v4: l.v4.subtract(o.v4), v6: l.v6.subtract(o.v6)}
}

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
			errs = append(errs, fmt.Errorf("resolve address range name %q: names must not be nested: %s",
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
