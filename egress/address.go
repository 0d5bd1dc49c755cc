package egress

import (
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

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

// resolvedAddressFilter takes the refused addresses out of the answers to a name.
func resolvedAddressFilter() *matcherv3.AddressMatcher {
	m := &matcherv3.AddressMatcher{}
	for _, p := range LocalRanges() {
		m.Ranges = append(m.Ranges, xdsRange(p))
	}
	return m
}

// coreRange is a range as Envoy's own messages have it.
func coreRange(p netip.Prefix) *corev3.CidrRange {
	return &corev3.CidrRange{AddressPrefix: p.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits()))}
}
