package egress

import (
	"fmt"
	"net/netip"
	"strings"
)

// metadataAddresses are those of clouds' metadata services, and Azure's of its host.
var metadataAddresses = []netip.Prefix{
	netip.MustParsePrefix("169.254.169.254/32"), netip.MustParsePrefix("169.254.170.2/32"), netip.MustParsePrefix("169.254.170.23/32"),
	netip.MustParsePrefix("100.100.100.200/32"), netip.MustParsePrefix("168.63.129.16/32"),
	netip.MustParsePrefix("fd00:ec2::254/128"), netip.MustParsePrefix("fd00:ec2::23/128"), netip.MustParsePrefix("fd20:ce::254/128"),
}

// IsMetadata reports whether an address is that of a cloud's metadata service.
func IsMetadata(a netip.Addr) bool {
	for _, m := range metadataAddresses {
		if m.Contains(a) {
			return true
		}
	}
	return a.IsLinkLocalUnicast()
}

// translation is a range of IPv6 addresses that have an IPv4 address in them.
type translation struct {
	name   string
	within netip.Prefix
	at     int  // the first byte of the IPv4 address
	mask   byte // that its bytes are combined with
}

func translations() []translation {
	return []translation{
		{"NAT64", netip.MustParsePrefix("64:ff9b::/96"), 12, 0},
		{"NAT64", netip.MustParsePrefix("64:ff9b:1::/48"), 12, 0},
		{"6to4", netip.MustParsePrefix("2002::/16"), 2, 0},
		{"Teredo", netip.MustParsePrefix("2001::/32"), 12, 0xff},
		{"IPv4-translated", netip.MustParsePrefix("::ffff:0:0:0/96"), 12, 0},
		{"IPv4-compatible", netip.MustParsePrefix("::/96"), 12, 0},
	}
}

// translated is the IPv4 address in an IPv6 address, with the name of its form.
func translated(a netip.Addr) (inner netip.Addr, form string) {
	if !a.Is6() || a.Is4In6() || a.IsLoopback() || a.IsUnspecified() {
		return a, ""
	}
	for _, t := range translations() {
		if t.within.Contains(a) {
			b := a.As16()
			var v4 [4]byte
			for i := range v4 {
				v4[i] = b[t.at+i] ^ t.mask
			}
			return netip.AddrFrom4(v4), t.name
		}
	}
	return a, ""
}

// insideAddress is what an entry should not open without notice: an address or a range
// of the machine, of a metadata service, or with another address in it. Empty: none.
func insideAddress(p netip.Prefix) string {
	prefix := ""
	if inner, form := translated(p.Addr()); form != "" {
		prefix = fmt.Sprintf("%s form of %s, which the lists of IPv4 ranges do not match", form, inner)
		p = netip.PrefixFrom(inner, inner.BitLen())
	}
	for _, m := range metadataAddresses {
		if p.Overlaps(m) {
			return joinNotes(prefix, "a cloud's metadata service is at "+m.Addr().String())
		}
	}
	if p.IsSingleIP() && isLocal(p.Addr()) {
		return joinNotes(prefix, "loopback or link-local address")
	}
	return prefix
}

func joinNotes(first, second string) string {
	if first == "" {
		return second
	}
	return first + "; " + second
}

// insideName is insideAddress for the name of a host.
func insideName(name string) string {
	rest := strings.TrimPrefix(name, "*.")
	is := func(domain string) bool { return rest == domain || strings.HasSuffix(rest, "."+domain) }
	switch {
	case rest == "kubernetes" || rest == "kubernetes.default" || strings.HasPrefix(rest, "kubernetes.default.svc"):
		return "name of the cluster's API server, which is reached without an entry"
	case is("svc") || is("svc.cluster.local") || is("pod.cluster.local") || rest == "cluster.local":
		return "name of the cluster's own Services, which are reached without an entry"
	case is("metadata.google.internal") || rest == "google.internal" || rest == "metadata" || is("instance-data") || is("instance-data.ec2.internal"):
		return "name of a cloud's metadata service"
	case is("localhost") || is("localdomain"):
		return "name of the machine itself"
	}
	return ""
}

// fixInside is the fix for both.
const fixInside = "remove it, unless the pods are meant to reach it through the sidecar"
