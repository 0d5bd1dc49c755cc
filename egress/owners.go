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
	if h.Protocol.IsHTTP() || h.Protocol == ProtocolTLS && len(h.Addresses) == 0 {
		return nil
	}
	if len(h.Addresses) == 0 {
		return []string{fmt.Sprint(h.Port)}
	}
	var out []string
	for _, p := range h.Addresses {
		out = append(out, h.addressKey(p))
	}
	return out
}

func (h Host) addressKey(p netip.Prefix) string { return fmt.Sprint(h.Port, h.Protocol, p) }

// assign makes a TCP or TLS host the owner of its addresses that have none yet, and
// removes the others from it. It returns the owner of the last one removed.
func (o owners) assign(h *Host) (owner Meta) {
	if len(h.addressKeys()) == 0 {
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
		key := h.addressKey(p)
		other, taken := o[key]
		if taken {
			owner = other
		} else {
			o[key] = h.Meta
		}
		return taken
	})
	h.Shadowed = h.Protocol == ProtocolTCP && len(h.Addresses) == 0
	return owner
}
