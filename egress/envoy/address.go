package envoy

import (
	"fmt"
	"net/netip"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/outrider-mesh/outrider/egress"
)

// resolvedAddressFilter removes local addresses from the answers to a name.
func resolvedAddressFilter() *matcherv3.AddressMatcher {
	m := &matcherv3.AddressMatcher{}
	for _, p := range egress.LocalRanges() {
		m.Ranges = append(m.Ranges, xdsRange(p))
	}
	return m
}

// xdsRange is a range in the form of matchers.
func xdsRange(p netip.Prefix) *xdscorev3.CidrRange {
	return &xdscorev3.CidrRange{AddressPrefix: p.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits()))}
}

// coreRange is a range in the form of Envoy's other messages.
func coreRange(p netip.Prefix) *corev3.CidrRange {
	return &corev3.CidrRange{AddressPrefix: p.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits()))}
}

func socket(address string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}

func joinPort(address string, port uint32) string {
	if a, err := netip.ParseAddr(address); err == nil {
		return netip.AddrPortFrom(a, uint16(port)).String()
	}
	return fmt.Sprintf("%s:%d", address, port)
}
