package egress

import (
	"fmt"
	"net/netip"
	"slices"
)

// claims are the addresses of TCP ports that hosts have already, with whom they
// belong to. A TCP connection has no name: an address of a port is one host's.
type claims map[string]Meta

// wants are the claims of a host, one for each address range or for all.
func (h host) wants() []string {
	if h.protocol != protocolTCP {
		return nil
	}
	if len(h.addresses) == 0 {
		return []string{fmt.Sprint(h.port)}
	}
	var out []string
	for _, p := range h.addresses {
		out = append(out, claimed(h.port, p))
	}
	return out
}

func claimed(port uint32, p netip.Prefix) string { return fmt.Sprint(port, p) }

// settle leaves a TCP host what is not taken yet, and says who has the rest: the
// owner of what it wanted last, where it gets nothing.
func (c claims) settle(h *host) (owner Meta) {
	if h.protocol != protocolTCP {
		return Meta{}
	}
	if len(h.addresses) == 0 {
		key := fmt.Sprint(h.port)
		if other, taken := c[key]; taken {
			h.shadowed = true
			return other
		}
		c[key] = h.meta
		return Meta{}
	}
	h.addresses = slices.DeleteFunc(slices.Clone(h.addresses), func(p netip.Prefix) bool {
		key := claimed(h.port, p)
		other, taken := c[key]
		if taken {
			owner = other
		} else {
			c[key] = h.meta
		}
		return taken
	})
	h.shadowed = len(h.addresses) == 0
	return owner
}
