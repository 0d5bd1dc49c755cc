package egress

import "net/netip"

// LocalRanges are the addresses that no declared name may resolve to: the pod's
// own, where the sidecar's admin interface listens, and link-local ones, where
// clouds have their metadata services. A connection to the unspecified address
// goes to the machine itself; an IPv4-mapped address is the IPv4 address, and
// no name needs one.
func LocalRanges() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),
		netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("169.254.0.0/16"),
		netip.MustParsePrefix("::/64"), // unspecified, loopback, IPv4-compatible, -mapped (::ffff:0:0/96) and -translated (::ffff:0:0:0/96)
		netip.MustParsePrefix("fe80::/10"),
	}
}

// isLocal reports whether no declared host may resolve to an address.
func isLocal(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast() ||
		netip.MustParsePrefix("0.0.0.0/8").Contains(a)
}
