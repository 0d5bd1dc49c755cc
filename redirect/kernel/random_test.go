//go:build linux

package kernel

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"

	"go4.org/netipx"

	"github.com/outrider-mesh/outrider/redirect"
	"github.com/outrider-mesh/outrider/test/kit/netns"
)

// generator makes arguments and destinations out of a small universe, so that
// lists overlap and destinations hit their edges.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 4))} }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

// prefix is a range of hosts outside of the pod.
func (g generator) prefix() netip.Prefix {
	if g.IntN(2) == 0 {
		a := netip.AddrFrom4([4]byte{pick[byte](g, 20, 21, 198), byte(18 + g.IntN(3)), byte(g.IntN(4)), byte(g.IntN(256))})
		return netip.PrefixFrom(a, pick(g, 8, 12, 15, 16, 17, 22, 23, 24, 28, 31, 32))
	}
	a := netip.AddrFrom16([16]byte{0x20, 1, 0, pick[byte](g, 2, 9), byte(g.IntN(2)), 0, 0, byte(g.IntN(2)), 15: byte(g.IntN(256))})
	return netip.PrefixFrom(a, pick(g, 16, 31, 32, 33, 48, 63, 64, 96, 120, 127, 128))
}

// list is a value of -i or -x, with host bits, overlaps and loopback now and
// then. Elements are in Istio's strict grammar, since iptables reads them too.
func (g generator) list(most int, loopback bool) []string {
	var out []string
	for range g.IntN(most + 1) {
		out = append(out, g.prefix().String())
	}
	if loopback && g.IntN(4) == 0 {
		out = append(out, pick(g, "127.0.0.0/8", "127.1.0.0/16", "::1/128", "10.99.0.0/16", "fd99::/32", "0.0.0.0/0", "::/0"))
	}
	return out
}

func (g generator) ports() []string {
	var out []string
	for range g.IntN(3) {
		out = append(out, pick(g, "80", "443", "22", "7070", "8080"))
	}
	return out
}

func (g generator) ids() []string {
	return pick(g, []string{"1337"}, []string{"1337"}, []string{"1337", "4000"}, []string{"4000"})
}

// settings are the lists of one random configuration.
type settings struct {
	include, exclude, includePorts, excludePorts, uids, gids, interfaces []string
}

func (g generator) settings() settings {
	s := settings{
		include: g.list(8, true), exclude: g.list(2, true), includePorts: g.ports(), excludePorts: g.ports(),
		uids: g.ids(), gids: g.ids(),
	}
	if g.IntN(5) < 2 {
		s.include = []string{"*"}
	}
	if g.IntN(6) == 0 {
		s.interfaces = []string{pick(g, "eth1", "eth+", "net0", "eth0")}
	}
	return s
}

func (s settings) args() []string {
	list := func(e []string) string { return strings.Join(e, ",") }
	return []string{"-i", list(s.include), "-x", list(s.exclude), "-q", list(s.includePorts), "-o", list(s.excludePorts),
		"-u", list(s.uids), "-g", list(s.gids), "-c", list(s.interfaces)}
}

// connection is a random connection near the edges of the settings' ranges.
func (g generator) connection(s settings) redirect.Connection {
	a := g.address(s)
	for !answers(a) {
		a = g.address(s)
	}
	return redirect.Connection{
		Protocol:    "tcp",
		Destination: netip.AddrPortFrom(a, pick[uint16](g, 80, 443, 22, 7070, 8080, 9999)),
		UID:         pick[uint32](g, 0, 0, 0, 0, 0, 0, 1337, 4000, 1000), GID: pick[uint32](g, 0, 0, 0, 0, 0, 0, 1337, 4000, 1000),
		Interface: netns.Via(a),
	}
}

func (g generator) address(s settings) netip.Addr {
	ranges := append(append([]string{}, s.include...), s.exclude...)
	switch {
	case g.IntN(8) == 0:
		return netip.MustParseAddr(pick(g, "127.0.0.1", "127.1.2.3", "::1", "10.99.0.2", "fd99::2", "10.99.0.1", "fd99::1"))
	case g.IntN(4) == 0 || len(ranges) == 0:
		return g.prefix().Addr()
	}
	p, err := netip.ParsePrefix(pick(g, ranges...))
	if err != nil {
		return g.prefix().Addr()
	}
	r := netipx.RangeOfPrefix(p)
	return pick(g, r.From(), r.To(), r.From().Prev(), r.To().Next(), p.Addr())
}

// answers reports an address that the test's network has.
func answers(a netip.Addr) bool {
	for _, own := range []string{"127.0.0.1", "127.1.2.3", "::1", "10.99.0.2", "fd99::2", "10.99.0.1", "fd99::1"} {
		if a == netip.MustParseAddr(own) {
			return true
		}
	}
	if !a.IsValid() {
		return false
	}
	if a.Is6() {
		return netip.MustParsePrefix("2000::/3").Contains(a)
	}
	first := a.As4()[0]
	return first > 10 && first < 224 && first != 127
}

// TestModelAgreesWithKernel: random pairs of configuration and destination.
func TestModelAgreesWithKernel(t *testing.T) {
	t.Parallel()
	pod := setup(t)
	g := newGenerator(2000)
	const configurations, each = 250, 10
	captured := 0
	for range configurations {
		s := g.settings()
		p := apply(t, pod, config(t, s.args()...))
		for range each {
			conn := g.connection(s)
			d := p.Decide(conn)
			got := reach(t, pod, conn)
			if d.Captured {
				captured++
			}
			if d.Captured != (got == "proxy") {
				t.Fatalf("%q: %+v reached %q, the model decides %s", s.args(), conn, got, d)
			}
		}
	}
	t.Logf("%d pairs, %d captured", configurations*each, captured)
	if part := float64(captured) / (configurations * each); part < 0.2 || part > 0.8 {
		t.Errorf("%.0f %% are captured: the pairs test one side only", 100*part)
	}
}

// istioRules are the outbound rules that istio-iptables writes for one family,
// in its order, with those for inbound calls of the pod to itself.
func istioRules(s settings, v6 bool) string {
	var b strings.Builder
	rule := func(format string, a ...any) { fmt.Fprintf(&b, "-A ISTIO_OUTPUT "+format+"\n", a...) }
	self, passthrough := "127.0.0.1/32", "127.0.0.6/32"
	if v6 {
		self, passthrough = "::1/128", "::6/128"
	}
	b.WriteString("*nat\n:ISTIO_OUTPUT - [0:0]\n:ISTIO_REDIRECT - [0:0]\n:ISTIO_IN_REDIRECT - [0:0]\n")
	b.WriteString("-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001\n")
	b.WriteString("-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006\n")
	for _, i := range s.interfaces {
		fmt.Fprintf(&b, "-A OUTPUT -o %s -j RETURN\n", i)
	}
	b.WriteString("-A OUTPUT -j ISTIO_OUTPUT\n")
	for _, p := range s.excludePorts {
		rule("-p tcp --dport %s -j RETURN", p)
		rule("-p udp --dport %s -j RETURN", p)
	}
	rule("-o lo -s %s -j RETURN", passthrough)
	loopback := false
	for _, r := range s.include {
		if p, err := netip.ParsePrefix(r); err == nil && p.Addr().IsLoopback() {
			loopback = true
		}
	}
	for _, owner := range []struct {
		flag string
		ids  []string
	}{{"--uid-owner", s.uids}, {"--gid-owner", s.gids}} {
		for _, id := range owner.ids {
			rule("-o lo ! -d %s -p tcp ! --dport 15008 -m owner %s %s -j ISTIO_IN_REDIRECT", self, owner.flag, id)
			if !loopback {
				rule("-o lo -m owner ! %s %s -j RETURN", owner.flag, id)
			}
			rule("-m owner %s %s -j RETURN", owner.flag, id)
		}
	}
	rule("-d %s -j RETURN", self)
	for _, r := range ofFamily(s.exclude, v6) {
		rule("-d %s -j RETURN", r)
	}
	for _, p := range s.includePorts {
		rule("-p tcp --dport %s -j ISTIO_REDIRECT", p)
	}
	if len(s.include) == 1 && s.include[0] == "*" {
		rule("-j ISTIO_REDIRECT")
	}
	for _, r := range ofFamily(s.include, v6) {
		rule("-d %s -j ISTIO_REDIRECT", r)
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

func ofFamily(list []string, v6 bool) []string {
	var out []string
	for _, r := range list {
		if p, err := netip.ParsePrefix(r); err == nil && p.Addr().Is6() == v6 {
			out = append(out, r)
		}
	}
	return out
}

// TestSameDecisionAsIptables: two pods, one with this program's rules, one
// with istio-iptables' rules in real iptables; the same connections.
func TestSameDecisionAsIptables(t *testing.T) {
	t.Parallel()
	netns.Need(t, "iptables-restore", "ip6tables-restore")
	ours, theirs := setup(t), setup(t)
	for _, addr := range []string{"127.0.0.1:15006", "[::1]:15006"} {
		theirs.Listen(t, addr, func(net.Conn) string { return "inbound" })
	}
	g := newGenerator(300)
	const configurations, each = 300, 6
	captured := 0
	for range configurations {
		s := g.settings()
		p := apply(t, ours, config(t, s.args()...))
		theirs.Must(t, istioRules(s, false), "iptables-restore")
		theirs.Must(t, istioRules(s, true), "ip6tables-restore")
		for range each {
			conn := g.connection(s)
			d := p.Decide(conn)
			a, b := reach(t, ours, conn), reach(t, theirs, conn)
			if d.Captured {
				captured++
			}
			if (a == "proxy") != (b == "proxy") || (a == "proxy") != d.Captured {
				t.Fatalf("%q: %+v reached %q, with iptables %q, the model decides %s", s.args(), conn, a, b, d)
			}
		}
	}
	t.Logf("%d configurations, %d connections, %d captured", configurations, configurations*each, captured)
}
