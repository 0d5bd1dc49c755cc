package egress

import (
	"fmt"
	"net/netip"
	"slices"
)

// owners are the addresses of TCP ports with the object that owns each. A TCP
// connection has no host name, so an address and port belongs to one host.
type owners map[string]Meta

// addressKeys are the keys of a host's addresses in owners: one for each range,
// or one for all addresses of the port.
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

// assign makes a TCP host the owner of its addresses that have none yet, and
// removes the others from it. It returns the owner of the last one removed.
func (o owners) assign(h *Host) (owner Meta) {
	if h.Protocol != ProtocolTCP {
		return Meta{}
	}
	if len(h.Addresses) == 0 {
		key := fmt.Sprint(h.Port)
		if other, taken := o[key]; taken {
			h.Shadowed = true
			return other
		}
		o[key] = h.Meta
		return Meta{}
	}
	h.Addresses = slices.DeleteFunc(slices.Clone(h.Addresses), func(p netip.Prefix) bool {
		key := addressKey(h.Port, p)
		other, taken := o[key]
		if taken {
			owner = other
		} else {
			o[key] = h.Meta
		}
		return taken
	})
	h.Shadowed = len(h.Addresses) == 0
	return owner
}
