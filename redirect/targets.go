package redirect

import (
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// Target is a capturing rule that a test connection can verify: connections to
// each candidate are captured for the given reason.
type Target struct {
	IPv6       bool
	Reason     Reason
	Candidates []netip.AddrPort // in the order to try; the first that has a route is enough
}

// documentation are the addresses reserved for documentation (RFC 5737, RFC
// 3849): the safest ones to connect to.
var documentation = []netip.Addr{
	netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("203.0.113.1"),
	netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:ffff::1"),
}

// Targets are the test connections for a process of this user and group: one
// for each family and each rule that captures. A family of which the plan
// captures nothing has none. c must be the configuration of the plan.
func (p Plan) Targets(c Config, uid, gid uint32) []Target {
	var targets []Target
	usual := usualAddresses(c)
	for _, v6 := range []bool{false, true} {
		for _, r := range p.capturing() {
			t := Target{IPv6: v6, Reason: r}
			t.Candidates = p.captured(c, t, usual, uid, gid)
			if len(t.Candidates) == 0 {
				t.Candidates = p.captured(c, t, leftAddresses(c), uid, gid)
			}
			if len(t.Candidates) > 0 {
				targets = append(targets, t)
			}
		}
	}
	return targets
}

// captured are the addresses, each with a port, that the target's rule captures.
func (p Plan) captured(c Config, t Target, addrs []netip.Addr, uid, gid uint32) []netip.AddrPort {
	var out []netip.AddrPort
	for _, a := range addrs {
		if a.Is6() != t.IPv6 || !isHost(a) {
			continue
		}
		for _, port := range ports(c, t.Reason) {
			to := netip.AddrPortFrom(a, port)
			d := p.Decide(Connection{Destination: to, UID: uid, GID: gid})
			if d.Captured && d.Reason == t.Reason {
				out = append(out, to)
				break
			}
		}
	}
	return out
}

// capturing are the distinct reasons of the plan's rules that capture.
func (p Plan) capturing() []Reason {
	var rs []Reason
	for _, r := range p.Rules {
		if r.Capture && !slices.Contains(rs, r.Reason) {
			rs = append(rs, r.Reason)
		}
	}
	return rs
}

func ports(c Config, r Reason) []uint16 {
	if r == ReasonIncludedPort {
		return c.IncludePorts.Ports()
	}
	// The discard port first: where a node balances Services at connect(2), a
	// Service's port would connect to another address.
	return []uint16{9, 80, 443, 8080, 65535}
}

// usualAddresses are the documentation addresses, then both ends of the first
// and last ranges to capture.
func usualAddresses(c Config) []netip.Addr {
	const some = 4
	out := slices.Clone(documentation)
	for _, ps := range [][]netip.Prefix{c.Include.V4(), c.Include.V6()} {
		if len(ps) > 2*some {
			ps = slices.Concat(ps[:some], ps[len(ps)-some:])
		}
		for _, p := range ps {
			r := netipx.RangeOfPrefix(p)
			out = append(out, r.From().Next(), r.From(), r.To())
		}
	}
	return out
}

// leftAddresses are what the exclusions leave of the ranges to capture, for when
// they cover all the usual addresses.
func leftAddresses(c Config) []netip.Addr {
	const some = 16
	var out []netip.Addr
	left := c.Include.Subtract(c.Exclude)
	for _, ps := range [][]netip.Prefix{left.V4(), left.V6()} {
		for _, p := range ps[:min(some, len(ps))] {
			out = append(out, p.Addr(), netipx.RangeOfPrefix(p).To())
		}
	}
	return out
}

// isHost reports an address that a connection can be opened to from anywhere:
// not multicast, link-local, loopback, unspecified, or IPv4's 0/8 and 240/4.
func isHost(a netip.Addr) bool {
	if !a.IsValid() || !a.IsGlobalUnicast() || a.IsLinkLocalUnicast() {
		return false
	}
	if a.Is4() {
		first := a.As4()[0]
		return first != 0 && first != 127 && first < 240
	}
	return true
}
