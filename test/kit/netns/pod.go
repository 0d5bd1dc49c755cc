//go:build linux

package netns

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// Pod is a pod's namespace and the internet it is connected to. Outside the
// pod's own addresses every address is the internet's: behind eth1 are
// 198.18.0.0/15 and 2001:2::/48, behind eth0 all others.
type Pod struct {
	*NS
	World *NS
}

// The pod's own addresses, and a port on which it listens itself.
var (
	Own4    = netip.MustParseAddr("10.99.0.2")
	Own6    = netip.MustParseAddr("fd99::2")
	behind1 = []netip.Prefix{
		netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("10.99.1.0/24"),
		netip.MustParsePrefix("2001:2::/48"), netip.MustParsePrefix("fd99:1::/64"),
	}
)

const OwnPort = 7070

const worldSetup = `link set lo up
link add w0 type veth peer name eth0 netns %[1]d
link add w1 type veth peer name eth1 netns %[1]d
addr add 10.99.0.1/24 dev w0
addr add fd99::1/64 dev w0 nodad
addr add 10.99.1.1/24 dev w1
addr add fd99:1::1/64 dev w1 nodad
link set w0 up
link set w1 up
route add local 0.0.0.0/0 dev lo table main
-6 route add local ::/0 dev lo table main
`

const podSetup = `link set lo up
addr add 10.99.0.2/24 dev eth0
addr add fd99::2/64 dev eth0 nodad
addr add 10.99.1.2/24 dev eth1
addr add fd99:1::2/64 dev eth1 nodad
link set eth0 up
link set eth1 up
route add default via 10.99.0.1
-6 route add default via fd99::1
route add 198.18.0.0/15 via 10.99.1.1 dev eth1
-6 route add 2001:2::/48 via fd99:1::1 dev eth1
`

// Every connection that reaches the internet is answered on one port.
const worldRules = `table inet world {
	chain prerouting {
		type nat hook prerouting priority -100
		meta l4proto { tcp, udp } redirect to :9000
	}
}`

// NewPod makes a pod and its world. The internet answers "world", the pod's own
// port "own", on TCP and UDP.
func NewPod(t testing.TB) *Pod {
	t.Helper()
	Need(t, "ip", "nft")
	p := &Pod{NS: New(t), World: New(t)}
	for _, n := range []*NS{p.NS, p.World} {
		n.Do(func() {
			for _, name := range []string{"all", "default"} {
				_ = os.WriteFile("/proc/sys/net/ipv4/conf/"+name+"/rp_filter", []byte("0"), 0)
			}
		})
	}
	for _, batch := range []struct {
		n    *NS
		text string
	}{{p.World, fmt.Sprintf(worldSetup, p.tid)}, {p.NS, podSetup}} {
		// ip -batch takes no family per line, so the families go apart.
		v4, v6 := split(batch.text)
		batch.n.Must(t, v4, "ip", "-batch", "-")
		batch.n.Must(t, v6, "ip", "-6", "-batch", "-")
	}
	p.World.Must(t, worldRules, "nft", "-f", "-")
	p.World.Listen(t, ":9000", say("world"))
	p.World.ListenUDP(t, ":9000", "world")
	p.Listen(t, fmt.Sprintf(":%d", OwnPort), say("own"))
	return p
}

func say(text string) func(net.Conn) string { return func(net.Conn) string { return text } }

// Via is the interface by which the pod reaches an address.
func Via(a netip.Addr) string {
	for _, own := range []string{"10.99.0.2", "10.99.1.2", "fd99::2", "fd99:1::2"} {
		if a == netip.MustParseAddr(own) {
			return "lo"
		}
	}
	for _, p := range behind1 {
		if p.Contains(a) {
			return "eth1"
		}
	}
	if a.IsLoopback() {
		return "lo"
	}
	return "eth0"
}

// split takes the lines that begin with -6 apart from the others.
func split(batch string) (v4, v6 string) {
	for line := range strings.Lines(batch) {
		if rest, ok := strings.CutPrefix(line, "-6 "); ok {
			v6 += rest
		} else {
			v4 += line
		}
	}
	return v4, v6
}
