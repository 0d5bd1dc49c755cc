package envoy

import (
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/outrider-mesh/outrider/egress"
)

// resolvedAddressFilter takes the refused addresses out of the answers to a name.
func resolvedAddressFilter() *matcherv3.AddressMatcher {
	m := &matcherv3.AddressMatcher{}
	for _, p := range egress.LocalRanges() {
		m.Ranges = append(m.Ranges, xdsRange(p))
	}
	return m
}

// coreRange is a range as Envoy's own messages have it.
func coreRange(p netip.Prefix) *corev3.CidrRange {
	return &corev3.CidrRange{AddressPrefix: p.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits()))}
}
