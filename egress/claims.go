package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// claims decide which hosts a view has, as they are added in the order of
// precedence. The hosts of the namespace itself and of the root namespace are
// trusted there. Of all others, none may take over what precedes it: a name, also
// by a more specific one or on another port, the addresses of a port, or how the
// connections to a port are matched.
type claims struct {
	namespace, root string
	taken           map[hostKey]bool
	owners          map[string]Meta // of names, by coverKey
	ports           map[uint32]*portClaims
	// note is called for what is omitted; nil: nothing is.
	note func(h *Host, l leftOut)
}

type hostKey struct {
	port uint32
	name string
}

// portClaims are the hosts of a port that were added.
type portClaims struct {
	byName     []Meta // the first of each namespace with HTTP, TLS or all addresses; at most two
	anyAddress bool
	ranges     map[Protocol]*rangeClaims
}

// rangeClaims are the addresses of a protocol.
type rangeClaims struct {
	single map[netip.Prefix]Meta
	wide   []rangeClaim
}

type rangeClaim struct {
	prefix netip.Prefix
	by     Meta
}

// leftOut is why a host, or some of its addresses, are not in a view: an object that
// precedes it, or a rule.
type leftOut struct {
	problem.Problem
	by Meta
}

func precededBy(by Meta, path, value string) leftOut {
	return leftOut{problem.Problem{Path: path, Value: value}, by}
}

func newClaims(namespace, root string, hosts int) *claims {
	return &claims{namespace: namespace, root: root, taken: make(map[hostKey]bool, hosts), owners: make(map[string]Meta, hosts), ports: map[uint32]*portClaims{}}
}

// The order of precedence of namespaces.
const (
	rankOwn = iota
	rankRoot
	rankOther
)

func (c *claims) rank(m Meta) int {
	switch m.Namespace {
	case c.namespace:
		return rankOwn
	case c.root:
		return rankRoot
	}
	return rankOther
}

// add reports whether the view has a host, and removes the addresses from it that
// it does not have there.
func (c *claims) add(h *Host) bool {
	if c.taken[hostKey{h.Port, h.Name}] {
		if by := c.owners[coverKey(h.Name)]; by.Namespace != h.Meta.Namespace {
			c.leave(h, precededBy(by, h.path(), h.Name))
		}
		return false
	}
	switch h.Meta.Namespace {
	case c.namespace:
	case c.root:
		if h.AnyAddress {
			c.leaveAnyAddress(h)
			return false
		}
	default:
		if !c.mayAddName(h) || !c.mayAddPort(h) || !c.trimAddresses(h) {
			return false
		}
	}
	c.record(h)
	return true
}

func (c *claims) leave(h *Host, l leftOut) {
	if c.note != nil {
		c.note(h, l)
	}
}

func (c *claims) leaveAnyAddress(h *Host) {
	c.leave(h, leftOut{Problem: problem.Invalid("spec.ports", fmt.Sprint(h.Port), "TCP without addresses applies in the namespace of the entry only", `add addresses, or set exportTo: ["."]`)})
}

// mayAddName reports whether a name has no owner of another namespace.
func (c *claims) mayAddName(h *Host) bool {
	if h.AnyAddress {
		c.leaveAnyAddress(h)
		return false
	}
	if namesServiceOf(h.Name, h.Meta.Namespace) {
		c.leave(h, leftOut{Problem: problem.Invalid(h.path(), h.Name, "the name of a Service applies in the namespace of the entry only, unless that is the Service's", `set exportTo: ["."], or declare it in the namespace of the Service`)})
		return false
	}
	for key := range coverKeys(h.Name) {
		if by, owned := c.owners[key]; owned {
			if by.Namespace != h.Meta.Namespace {
				c.leave(h, precededBy(by, h.path(), h.Name))
				return false
			}
			return true
		}
	}
	return true
}

// namesServiceOf reports whether a host is a name of the cluster that belongs to
// another namespace than one: web.shop.svc, web.shop.svc.cluster.local, or a wildcard
// of such names.
func namesServiceOf(host, namespace string) bool {
	name, service := strings.CutSuffix(strings.TrimSuffix(host, ".cluster.local"), ".svc")
	return service && name[strings.LastIndexByte(name, '.')+1:] != namespace
}

// mayAddPort reports whether a host leaves the connections to its port, which
// others have, as they are: addresses of TCP are matched before names are, and
// where a name is matched, TCP waits for the client's first bytes.
func (c *claims) mayAddPort(h *Host) bool {
	standing := slices.Contains(standingPorts(), h.Port)
	if h.Protocol == ProtocolTCP && standing {
		c.leave(h, leftOut{Problem: problem.Invalid("spec.ports", fmt.Sprint(h.Port), "TCP on the ports of HTTP and HTTPS applies in the namespace of the entry only", `use protocol TLS or HTTP, or set exportTo: ["."]`)})
		return false
	}
	p := c.ports[h.Port]
	if p == nil || standing {
		return true
	}
	if h.Protocol != ProtocolTCP {
		return !p.anyAddress
	}
	for _, by := range p.byName {
		if by.Namespace != h.Meta.Namespace {
			c.leave(h, precededBy(by, "spec.ports", fmt.Sprint(h.Port)))
			return false
		}
	}
	return true
}

// The shortest prefixes that an entry may have in the views of other namespaces:
// 65,536 addresses of IPv4, as in a network of one organization, and a /48 of IPv6,
// which a site has. Two halves of all addresses would be what TCP without addresses
// is.
const minBits4, minBits6 = 16, 48

func tooWide(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() < minBits4
	}
	return p.Bits() < minBits6
}

// trimAddresses removes the addresses of a host that are too many, or that overlap
// those of another namespace. It reports whether the host remains.
func (c *claims) trimAddresses(h *Host) bool {
	if len(h.Addresses) == 0 || h.Protocol.IsHTTP() {
		return true
	}
	h.Addresses = slices.DeleteFunc(slices.Clone(h.Addresses), func(p netip.Prefix) bool {
		if tooWide(p) {
			c.leave(h, leftOut{Problem: problem.Invalid("spec.addresses", p.String(),
				fmt.Sprintf("ranges wider than /%d, or /%d of IPv6, apply in the namespace of the entry only", minBits4, minBits6), `use smaller ranges, or set exportTo: ["."]`)})
			return true
		}
		by, overlaps := c.ports[h.Port].overlapping(h.Protocol, p, h.Meta.Namespace)
		if overlaps {
			c.leave(h, precededBy(by, "spec.addresses", p.String()))
		}
		return overlaps
	})
	return h.Protocol != ProtocolTCP || len(h.Addresses) > 0
}

// overlapping is the object of another namespace that has some of a prefix.
func (p *portClaims) overlapping(protocol Protocol, prefix netip.Prefix, namespace string) (by Meta, found bool) {
	if p == nil || p.ranges[protocol] == nil {
		return Meta{}, false
	}
	all := p.ranges[protocol]
	for _, r := range all.wide {
		if r.by.Namespace != namespace && r.prefix.Overlaps(prefix) {
			return r.by, true
		}
	}
	if prefix.IsSingleIP() {
		by, found = all.single[prefix]
		return by, found && by.Namespace != namespace
	}
	for single, owner := range all.single {
		if owner.Namespace != namespace && prefix.Contains(single.Addr()) && (!found || compareMeta(owner, by) < 0) {
			by, found = owner, true
		}
	}
	return by, found
}

// record adds what a host has to the claims.
func (c *claims) record(h *Host) {
	c.taken[hostKey{h.Port, h.Name}] = true
	if key := coverKey(h.Name); c.owners[key] == (Meta{}) {
		c.owners[key] = h.Meta
	}
	p := c.ports[h.Port]
	if p == nil {
		p = &portClaims{ranges: map[Protocol]*rangeClaims{}}
		c.ports[h.Port] = p
	}
	if h.Protocol != ProtocolTCP || h.AnyAddress {
		p.anyAddress = p.anyAddress || h.AnyAddress
		if len(p.byName) < 2 && !slices.ContainsFunc(p.byName, func(m Meta) bool { return m.Namespace == h.Meta.Namespace }) {
			p.byName = append(p.byName, h.Meta)
		}
	}
	if len(h.Addresses) == 0 || h.Protocol.IsHTTP() {
		return
	}
	all := p.ranges[h.Protocol]
	if all == nil {
		all = &rangeClaims{single: map[netip.Prefix]Meta{}}
		p.ranges[h.Protocol] = all
	}
	for _, prefix := range h.Addresses {
		if !prefix.IsSingleIP() {
			all.wide = append(all.wide, rangeClaim{prefix, h.Meta})
		} else if _, has := all.single[prefix]; !has {
			all.single[prefix] = h.Meta
		}
	}
}

// shared are the wildcards of other namespaces, by cluster, that cover a name of
// a third one which they do not share a port with. Requests to that name on the
// wildcard's port go to its own address, and the wildcard's object may not send
// them, or any others under it, elsewhere.
func (c *claims) shared(hosts []Host) map[hostKey]bool {
	wildcards := map[string][]*Host{}
	for i := range hosts {
		if h := &hosts[i]; h.Wildcard() && h.Meta.Namespace != c.namespace && h.Meta.Namespace != c.root {
			wildcards[coverKey(h.Name)] = append(wildcards[coverKey(h.Name)], h)
		}
	}
	if len(wildcards) == 0 {
		return nil
	}
	out := map[hostKey]bool{}
	for i := range hosts {
		n := &hosts[i]
		for key := range coverKeys(n.Name) {
			if key == coverKey(n.Name) || wildcards[key] == nil {
				continue
			}
			wildcards[key] = slices.DeleteFunc(wildcards[key], func(w *Host) bool {
				covers := w.Meta.Namespace != n.Meta.Namespace && !c.taken[hostKey{w.Port, n.Name}]
				if covers {
					out[hostKey{w.Port, w.Name}] = true
				}
				return covers
			})
		}
	}
	return out
}
