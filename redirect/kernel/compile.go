//go:build linux

package kernel

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/outrider-mesh/outrider/redirect"
)

// chain is a chain of the table with its rules.
type chain struct {
	chain *nftables.Chain
	rules []rule
}

// rule is a rule of the plan to be encoded for the kernel.
type rule struct {
	comment string
	family  redirect.Family
	plan    *redirect.Rule // nil: the rule that redirects to the proxy, or drops resets
	port    uint16         // of the proxy; 0: the rule drops resets
	mark    uint32         // of the connections that are redirected; 0: all
}

// chainsOf is the plan's chains in the order in which they must be created.
func chainsOf(table *nftables.Table, p redirect.Plan) []chain {
	accept := nftables.ChainPolicyAccept
	output := chain{chain: &nftables.Chain{
		Table: table, Name: redirect.OutputChain, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityNATDest, Policy: &accept,
	}}
	for i := range p.Rules {
		r := &p.Rules[i]
		output.rules = append(output.rules, rule{comment: string(r.Reason), family: p.Family, plan: r})
	}
	if p.KeepResets {
		return []chain{toProxy(table, p), output}
	}
	return []chain{toProxy(table, p), output, resets(table, p.Family)}
}

// toProxy is the chain that redirects connections to the proxy, or to the test.
func toProxy(table *nftables.Table, p redirect.Plan) chain {
	c := chain{chain: &nftables.Chain{Table: table, Name: redirect.ProxyChain}}
	if p.TestPort != 0 {
		c.rules = append(c.rules, rule{comment: redirect.TestComment, family: p.Family, port: p.TestPort, mark: redirect.TestMark})
	}
	c.rules = append(c.rules, rule{comment: redirect.CaptureComment, family: p.Family, port: p.ProxyPort})
	return c
}

// resets is the chain that drops the resets of the readiness port. Rules of type
// nat see the first packet of a connection only, which a reset is not.
func resets(table *nftables.Table, f redirect.Family) chain {
	accept := nftables.ChainPolicyAccept
	return chain{
		chain: &nftables.Chain{
			Table: table, Name: redirect.ResetChain, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter, Policy: &accept,
		},
		rules: []rule{{comment: redirect.ResetComment, family: f}},
	}
}

// exprs is the rule as nf_tables expressions. ids are the transaction's numbers
// of the sets, by name; the kernel does not return them.
func (r rule) exprs(ids map[string]uint32) []expr.Any {
	if r.plan == nil && r.port == 0 {
		return resetOfSYN()
	}
	if r.plan == nil {
		es := isTCP(expr.CmpOpEq)
		if r.mark != 0 {
			es = append(es, meta(expr.MetaKeyMARK, expr.CmpOpEq, binaryutil.NativeEndian.PutUint32(r.mark))...)
		}
		return append(es, &expr.Counter{},
			&expr.Immediate{Register: 1, Data: binary.BigEndian.AppendUint16(nil, r.port)},
			&expr.Redir{RegisterProtoMin: 1})
	}
	verdict := &expr.Verdict{Kind: expr.VerdictReturn}
	if r.plan.Capture {
		verdict = &expr.Verdict{Kind: expr.VerdictGoto, Chain: redirect.ProxyChain}
	}
	return append(r.condition(ids), &expr.Counter{}, verdict)
}

// resetOfSYN drops what the kernel answers to a SYN for a port that nothing listens
// on: RST and ACK with the sequence number 0. A reset of an open connection has
// another number.
func resetOfSYN() []expr.Any {
	const finSynRstAck, rstAck = 0x17, 0x14
	es := append(isTCP(expr.CmpOpEq), tcpField(0, 2),
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, redirect.ReadinessPort)})
	es = append(es, tcpField(4, 4), &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: make([]byte, 4)})
	return append(es, tcpField(13, 1),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{finSynRstAck}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{rstAck}},
		&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop})
}

// tcpField loads a field of the TCP header, by its offset and length in bytes.
func tcpField(offset, length uint32) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: length}
}

func (r rule) condition(ids map[string]uint32) []expr.Any {
	m := r.plan.Match
	switch m.On {
	case redirect.NotTCP:
		return isTCP(expr.CmpOpNeq)
	case redirect.Interface:
		return meta(expr.MetaKeyOIFNAME, expr.CmpOpEq, interfaceData(m.Interface))
	case redirect.UID:
		return meta(expr.MetaKeySKUID, expr.CmpOpEq, binaryutil.NativeEndian.PutUint32(m.ID))
	case redirect.GID:
		return meta(expr.MetaKeySKGID, expr.CmpOpEq, binaryutil.NativeEndian.PutUint32(m.ID))
	case redirect.Address:
		return append(r.daddr(m.Addr), &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: m.Addr.AsSlice()})
	case redirect.InSet:
		look := &expr.Lookup{SourceRegister: 1, SetName: m.Set.Name, SetID: ids[m.Set.Name]}
		switch m.Set.Kind {
		case redirect.SetIPv4:
			return append(r.daddr(netip.IPv4Unspecified()), look)
		case redirect.SetIPv6:
			return append(r.daddr(netip.IPv6Unspecified()), look)
		}
		return append(isTCP(expr.CmpOpEq), tcpField(2, 2), look)
	}
	return nil
}

// daddr loads the destination address of the family that a is of. In a table
// for both families the family must be tested first.
func (r rule) daddr(a netip.Addr) []expr.Any {
	family, offset := byte(unix.NFPROTO_IPV4), uint32(16)
	if a.Is6() {
		family, offset = unix.NFPROTO_IPV6, 24
	}
	var es []expr.Any
	if r.family == redirect.Inet {
		es = meta(expr.MetaKeyNFPROTO, expr.CmpOpEq, []byte{family})
	}
	return append(es, &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader,
		Offset: offset, Len: uint32(a.BitLen() / 8)})
}

func isTCP(op expr.CmpOp) []expr.Any {
	return meta(expr.MetaKeyL4PROTO, op, []byte{unix.IPPROTO_TCP})
}

func meta(key expr.MetaKey, op expr.CmpOp, data []byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: data}}
}

// interfaceData is a name padded to the kernel's 16 bytes, or without padding
// where only the beginning must match.
func interfaceData(name string) []byte {
	if prefix, any := strings.CutSuffix(name, "+"); any {
		return []byte(prefix)
	}
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}
