//go:build linux

package kernel

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/outrider-mesh/outrider/redirect"
)

// Family is the table family this kernel needs: one table for both families,
// or IPv4 only where the kernel has no IPv6. IPv6 that is merely disabled in a
// namespace still gets its rules: it may be enabled later.
func Family() redirect.Family {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == unix.EAFNOSUPPORT {
		return redirect.IPv4Only
	}
	if err == nil {
		_ = unix.Close(fd)
	}
	return redirect.Inet
}

// Apply installs the plan, in place of whatever the table held. It is one atomic
// transaction; on an error the old rules stay. A plan without rules removes the
// table.
func Apply(p redirect.Plan) error {
	conn, err := open()
	if err != nil {
		return diagnose("apply the redirect rules", err)
	}
	table := tableOf(p.Family)
	// A table must exist to be deleted, so it is added first.
	conn.AddTable(table)
	conn.DelTable(table)
	if len(p.Rules) > 0 {
		if err := add(conn, table, p); err != nil {
			return fmt.Errorf("encode the redirect rules: %w", err)
		}
	}
	if err := conn.Flush(); err != nil {
		return diagnose("apply the redirect rules", err)
	}
	return nil
}

// Complete ends the tests of a plan that was applied with a TestPort: afterwards all
// connections are redirected to the proxy. It is one atomic transaction, too.
func Complete(p redirect.Plan) error {
	conn, err := open()
	if err != nil {
		return diagnose("end the tests of the redirect rules", err)
	}
	p.TestPort = 0
	c := toProxy(tableOf(p.Family), p)
	conn.FlushChain(c.chain)
	addRules(conn, c, nil)
	if err := conn.Flush(); err != nil {
		return diagnose("end the tests of the redirect rules", err)
	}
	return nil
}

// Cleanup removes the table of either family. It succeeds where there is none.
func Cleanup() error {
	for _, f := range []redirect.Family{redirect.Inet, redirect.IPv4Only} {
		if err := Apply(redirect.Plan{Family: f}); err != nil {
			return err
		}
	}
	return nil
}

// sockBuffer holds a whole transaction, which netlink takes as one message:
// 50,000 IPv6 ranges are 100,000 elements of at most 48 bytes.
const sockBuffer = 64 << 20

func open() (*nftables.Conn, error) {
	return nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		if err := c.SetReadBuffer(sockBuffer); err != nil {
			return err
		}
		return c.SetWriteBuffer(sockBuffer)
	}))
}

func tableOf(f redirect.Family) *nftables.Table {
	t := &nftables.Table{Name: redirect.TableName, Family: nftables.TableFamilyINet}
	if f == redirect.IPv4Only {
		t.Family = nftables.TableFamilyIPv4
	}
	return t
}

// numbering guards the library's global counter of sets.
var numbering sync.Mutex

// add queues the table and its contents.
func add(conn *nftables.Conn, table *nftables.Table, p redirect.Plan) error {
	numbering.Lock()
	defer numbering.Unlock()
	conn.AddTable(table)
	ids := map[string]uint32{}
	for _, s := range p.Sets {
		set := setOf(table, s)
		if err := conn.AddSet(set, nil); err != nil {
			return fmt.Errorf("set %s: %w", s.Name, err)
		}
		ids[s.Name] = set.ID
		if err := addElements(conn, set, boundaries(s)); err != nil {
			return fmt.Errorf("set %s: %w", s.Name, err)
		}
	}
	// to_proxy comes first: a rule may only go to a chain that exists.
	for _, c := range chainsOf(table, p) {
		conn.AddChain(c.chain)
		addRules(conn, c, ids)
	}
	return nil
}

func addRules(conn *nftables.Conn, c chain, ids map[string]uint32) {
	for _, r := range c.rules {
		conn.AddRule(&nftables.Rule{Table: c.chain.Table, Chain: c.chain, Exprs: r.exprs(ids), UserData: comment(r.comment)})
	}
}

// addElements adds elements in several messages: they travel in one netlink
// attribute, whose length is 16 bits. 1,000 elements of at most 48 bytes stay
// below 64 KiB.
func addElements(conn *nftables.Conn, set *nftables.Set, bs []boundary) error {
	const most = 1000
	buf := make([]nftables.SetElement, 0, most)
	for len(bs) > 0 {
		n := min(most, len(bs))
		buf = buf[:0]
		for i := range bs[:n] {
			buf = append(buf, nftables.SetElement{Key: bs[i].bytes(), IntervalEnd: bs[i].end})
		}
		if err := conn.SetAddElements(set, buf); err != nil {
			return err
		}
		bs = bs[n:]
	}
	return nil
}

func setOf(table *nftables.Table, s redirect.Set) *nftables.Set {
	set := &nftables.Set{Table: table, Name: s.Name}
	switch s.Kind {
	case redirect.SetIPv4:
		set.KeyType, set.Interval = nftables.TypeIPAddr, true
	case redirect.SetIPv6:
		set.KeyType, set.Interval = nftables.TypeIP6Addr, true
	default:
		set.KeyType = nftables.TypeInetService
	}
	return set
}

// boundary is one element of a kernel set: a port, the first address of a
// range, or (end) the first address after one.
type boundary struct {
	key  [16]byte
	size uint8 // bytes of key in use: 2, 4 or 16
	end  bool
}

func (b *boundary) bytes() []byte { return b.key[:b.size] }

// boundaries are the elements of a set, ascending; of two with the same key
// the end comes first. The range that holds the family's last address has no
// end.
func boundaries(s redirect.Set) []boundary {
	if s.Kind == redirect.SetPorts {
		var bs []boundary
		for _, p := range s.Ports.Ports() {
			bs = append(bs, boundary{key: [16]byte{byte(p >> 8), byte(p)}, size: 2})
		}
		return bs
	}
	ps := s.Ranges.Prefixes()
	bs := make([]boundary, 0, 2*len(ps))
	for _, p := range ps {
		start := ofAddr(p.Addr())
		bs = append(bs, start)
		if after, ok := start.plus(p.Addr().BitLen() - p.Bits()); ok {
			bs = append(bs, after)
		}
	}
	return bs
}

func ofAddr(a netip.Addr) boundary {
	b := boundary{size: uint8(a.BitLen() / 8)}
	copy(b.key[:], a.AsSlice())
	return b
}

// plus is the end 2^bits after the address; not ok past the family's last.
func (b boundary) plus(bits int) (boundary, bool) {
	i := int(b.size) - 1 - bits/8
	if i < 0 {
		return b, false
	}
	b.end = true
	carry := uint(1) << (bits % 8)
	for ; i >= 0 && carry > 0; i-- {
		carry += uint(b.key[i])
		b.key[i] = byte(carry)
		carry >>= 8
	}
	return b, carry == 0
}

func comment(text string) []byte {
	return userdata.AppendString(nil, userdata.TypeComment, text)
}
