package world

import (
	"net/netip"
	"slices"
	"strings"
)

// Host is one name of the internet and its two addresses. A name that begins with
// "*." matches all names one label longer, which share the addresses.
type Host struct {
	Name       string
	IPv4, IPv6 netip.Addr
}

// names are the hosts that Istio's egress tasks go to, then those of the plain
// TCP services, and a domain with a name for each server.
var names = []Host{
	host("httpbin.org", 10),
	host("www.google.com", 20),
	host("edition.cnn.com", 30),
	host("*.wikipedia.org", 40),
	host("*.example.com", 50),
	host("tcp-echo.example.com", 60),
	host("tcp-banner.example.com", 70),
	host("*.cdn.example", 80),
}

// Prefixes are the ranges that every address of Names is in.
var Prefixes = [2]netip.Prefix{
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("2001:db8:113::/48"),
}

// host gives a name the n-th address of each prefix.
func host(name string, n byte) Host {
	v4, v6 := netip.AddrFrom4([4]byte{203, 0, 113, n}), netip.MustParseAddr("2001:db8:113::").As16()
	v6[15] = n
	return Host{name, v4, netip.AddrFrom16(v6)}
}

// Names lists the hosts of the internet.
func Names() []Host { return slices.Clone(names) }

// Lookup finds the host that a name belongs to, the exact one before the
// wildcard. Case and a final dot do not matter.
func Lookup(name string) (Host, bool) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	wild := "*"
	if _, parent, ok := strings.Cut(name, "."); ok {
		wild += "." + parent
	}
	for _, want := range []string{name, wild} {
		if i := slices.IndexFunc(names, func(h Host) bool { return h.Name == want }); i >= 0 && !strings.HasPrefix(name, "*") {
			return names[i], true
		}
	}
	return Host{}, false
}
