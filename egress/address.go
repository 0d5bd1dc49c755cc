package egress

import "net/netip"

// LocalRanges are the addresses that no declared name may lead to: the pod's
// own, where the sidecar's administration listens, and the node's, where clouds
// have their metadata services. To connect to the unspecified address is to
// connect to the machine itself; a mapped address is its IPv4 address in
// disguise, and no name has one in earnest.
func LocalRanges() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),
		netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("169.254.0.0/16"),
		netip.MustParsePrefix("::/80"), // unspecified, loopback, and ::ffff:0:0/96
		netip.MustParsePrefix("fe80::/10"),
	}
}

// isLocal reports whether no declared host may lead to an address.
func isLocal(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast() ||
		netip.MustParsePrefix("0.0.0.0/8").Contains(a)
}
