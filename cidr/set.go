package cidr

import (
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// mappedBlock holds the IPv4-mapped addresses. They never appear as IPv6
// destinations, and a range inside the block would read back as IPv4.
var mappedBlock = netip.MustParsePrefix("::ffff:0:0/96")

// family is the addresses of a list that are of one family, as a set and as its
// minimal cover. The zero value is empty.
type family struct {
	set   *netipx.IPSet  // nil: empty
	cover []netip.Prefix // sorted, disjoint, masked, minimal
}

func build(b *netipx.IPSetBuilder) family {
	set, err := b.IPSet()
	if err != nil {
		// Only invalid prefixes cause it, and none is ever added.
		panic("cidr: " + err.Error())
	}
	rs := set.Ranges()
	if len(rs) == 0 {
		return family{}
	}
	ps := make([]netip.Prefix, 0, len(rs))
	for _, r := range rs {
		ps = r.AppendPrefixes(ps)
	}
	return family{set, ps}
}

func (f family) contains(a netip.Addr) bool { return f.set != nil && f.set.Contains(a) }

func (f family) containsPrefix(p netip.Prefix) bool { return f.set != nil && f.set.ContainsPrefix(p) }

func (f family) union(o family) family {
	switch {
	case f.set == nil:
		return o
	case o.set == nil:
		return f
	}
	var b netipx.IPSetBuilder
	b.AddSet(f.set)
	b.AddSet(o.set)
	return build(&b)
}

func (f family) subtract(o family) family {
	if f.set == nil || o.set == nil {
		return f
	}
	var b netipx.IPSetBuilder
	b.AddSet(f.set)
	b.RemoveSet(o.set)
	r := build(&b)
	if slices.ContainsFunc(r.cover, func(p netip.Prefix) bool { return p.Addr().Is4In6() && p.Bits() >= 96 }) {
		b.RemovePrefix(mappedBlock)
		r = build(&b)
	}
	return r
}
