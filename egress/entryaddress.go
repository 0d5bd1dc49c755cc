package egress

import (
	"fmt"
	"net/netip"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
)

func readAddresses(s *networkingv1alpha3.ServiceEntry, r reporter) []netip.Prefix {
	var out []netip.Prefix
	for i, text := range s.Addresses {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(text); err == nil {
				a = a.Unmap()
				prefix = netip.PrefixFrom(a, a.BitLen())
			}
		}
		if a := prefix.Addr(); a.Is4In6() && prefix.Bits() >= 96 { // clients connect to the IPv4 addresses
			prefix = netip.PrefixFrom(a.Unmap(), prefix.Bits()-96)
		}
		path := fmt.Sprintf("spec.addresses[%d]", i)
		switch {
		case err != nil:
			r.error(path, text, "must be an IP address or a CIDR", "use 192.0.2.7 or 192.0.2.0/24")
		case prefix.Bits() == 0:
			r.error(path, text, "must not cover all addresses", "use a smaller range")
		default:
			if rule := insideAddress(prefix); rule != "" {
				r.warn(path, text, rule, fixInside)
			}
			out = append(out, prefix.Masked())
		}
	}
	return out
}

// noteRanges warns about the ranges of an entry on an HTTP port, once for all.
func noteRanges(addresses []netip.Prefix, p entryPort, r reporter) {
	first, more := "", 0
	for _, a := range addresses {
		switch {
		case a.IsSingleIP():
		case first == "":
			first = a.String()
		default:
			more++
		}
	}
	if first == "" {
		return
	}
	rule := fmt.Sprintf("no effect on HTTP port %d: requests are matched by Host, which is not compared with ranges", p.number)
	if more > 0 {
		rule += fmt.Sprintf(" (and %d more)", more)
	}
	r.warn("spec.addresses", first, rule, "list the addresses, or use protocol TCP")
}

// addressHosts are the hosts that an entry's addresses are on its HTTP ports:
// clients that connect to an address have it as their Host. A request goes where
// those of the entry's first host go; without resolution it goes to the address
// itself.
func addressHosts(hosts []Host, ports []entryPort, addresses []netip.Prefix, r reporter) []Host {
	if len(addresses) == 0 {
		return nil
	}
	first := map[uint32]Host{}
	for _, h := range hosts {
		if _, known := first[h.Port]; !known {
			first[h.Port] = h
		}
	}
	var out []Host
	for _, p := range ports {
		h, ok := first[p.number]
		if !ok || !p.protocol.IsHTTP() {
			continue
		}
		noteRanges(addresses, p, r)
		seen := map[netip.Prefix]bool{}
		for _, a := range addresses {
			switch {
			case !a.IsSingleIP():
			case h.Unresolved && isLocal(a.Addr()):
				r.warn("spec.addresses", a.Addr().String(), fmt.Sprintf("no effect on HTTP port %d: loopback and link-local addresses are not allowed", p.number), "remove it")
			case !seen[a]:
				seen[a] = true
				out = append(out, h.at(a.Addr()))
			}
		}
	}
	return out
}
