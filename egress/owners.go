package egress

import (
	"fmt"
	"net/netip"
	"slices"
)

// owners are the addresses of TCP ports that hosts have already, with whom they
// belong to. A TCP connection has no name: an address of a port is one host's.
type owners map[string]Meta

// addressKeys are the claims of a host, one for each address range or for all.
func (h Host) addressKeys() []string {
	if h.Protocol != ProtocolTCP {
		return nil
	}
	if len(h.Addresses) == 0 {
		return []string{fmt.Sprint(h.Port)}
	}
	var out []string
	for _, p := range h.Addresses {
		out = append(out, addressKey(h.Port, p))
	}
	return out
}

func addressKey(port uint32, p netip.Prefix) string { return fmt.Sprint(port, p) }

// assign leaves a TCP host what is not taken yet, and says who has the rest: the
// owner of what it wanted last, where it gets nothing.
func (c owners) assign(h *Host) (owner Meta) {
	if h.Protocol != ProtocolTCP {
		return Meta{}
	}
	if len(h.Addresses) == 0 {
		key := fmt.Sprint(h.Port)
		if other, taken := c[key]; taken {
			h.Shadowed = true
			return other
		}
		c[key] = h.Meta
		return Meta{}
	}
	h.Addresses = slices.DeleteFunc(slices.Clone(h.Addresses), func(p netip.Prefix) bool {
		key := addressKey(h.Port, p)
		other, taken := c[key]
		if taken {
			owner = other
		} else {
			c[key] = h.Meta
		}
		return taken
	})
	h.Shadowed = len(h.Addresses) == 0
	return owner
}
