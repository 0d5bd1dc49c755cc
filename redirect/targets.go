package redirect

import (
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// Target is a claim of the plan that a real connection can prove: connections
// to each candidate are captured for the given reason.
type Target struct {
	IPv6       bool
	Reason     Reason
	Candidates []netip.AddrPort // in the order to try; the first that has a route is enough
}

// documentation are addresses that belong to nobody (RFC 5737, RFC 3849): the
// best ones to connect to.
var documentation = []netip.Addr{
	netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("203.0.113.1"),
	netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:ffff::1"),
}

// Targets are the claims to prove for a process of this user and group: one
// for each family and each rule that captures. A family of which the plan
// captures nothing has none. c must be the configuration of the plan.
func (p Plan) Targets(c Config, uid, gid uint32) []Target {
	var targets []Target
	addrs := p.addresses(c)
	for _, v6 := range []bool{false, true} {
		for _, r := range p.capturing() {
			t := Target{IPv6: v6, Reason: r}
			for _, a := range addrs {
				if a.Is6() != v6 {
					continue
				}
				for _, port := range ports(c, r) {
					to := netip.AddrPortFrom(a, port)
					d := p.Decide(Connection{Destination: to, UID: uid, GID: gid})
					if d.Captured && d.Reason == r {
						t.Candidates = append(t.Candidates, to)
						break
					}
				}
			}
			if len(t.Candidates) > 0 {
				targets = append(targets, t)
			}
		}
	}
	return targets
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
	return []uint16{80, 443, 8080, 9, 65535}
}

// addresses are the candidates: addresses of nobody, then both ends of the
// first and last ranges to capture, as far as a host could have them.
func (p Plan) addresses(c Config) []netip.Addr {
	const some = 4
	out := slices.Clone(documentation)
	for _, ps := range [][]netip.Prefix{c.Include.V4(), c.Include.V6()} {
		if len(ps) > 2*some {
			ps = slices.Concat(ps[:some], ps[len(ps)-some:])
		}
		for _, r := range ps {
			out = append(out, netipx.RangeOfPrefix(r).From().Next(), netipx.RangeOfPrefix(r).From(), netipx.RangeOfPrefix(r).To())
		}
	}
	// Exclusions may cover all of these; what is left over is then searched.
	if !c.Exclude.IsEmpty() && !c.Include.IsEmpty() {
		left := c.Include.Subtract(c.Exclude)
		for _, ps := range [][]netip.Prefix{left.V4(), left.V6()} {
			for _, r := range ps[:min(some, len(ps))] {
				out = append(out, r.Addr(), netipx.RangeOfPrefix(r).To())
			}
		}
	}
	return slices.DeleteFunc(out, func(a netip.Addr) bool { return !isHost(a) })
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
