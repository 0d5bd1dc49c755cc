package cidr

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"go4.org/netipx"
)

// Options say what a list may hold besides ranges.
type Options struct {
	AllowWildcard bool // "*" alone
	AllowNames    bool // words like "cluster", kept unresolved
}

// Parse reads a list in Istio's grammar: prefixes separated by commas, or "*"
// alone, or nothing. Where the intent is plain it is tolerant: white space
// (also as separator), empty elements, bare addresses, host bits,
// IPv4-mapped IPv6. Anything else is an *Error that holds every bad element,
// in the order of the input, with the rule it breaks and the fix.
func Parse(value string, o Options) (List, error) {
	var (
		prefixes  []netip.Prefix
		names     []string
		problems  []Problem
		wildcards []Problem
	)
	for i, e := range split(value) {
		switch {
		case e == "*":
			wildcards = append(wildcards, Problem{Element: e, Index: i})
		case isName(e) && o.AllowNames:
			names = append(names, e)
		default:
			p, bad := parseElement(e)
			if bad != nil {
				bad.Element, bad.Index = e, i
				problems = append(problems, *bad)
				continue
			}
			prefixes = append(prefixes, p)
		}
	}
	others := len(prefixes) + len(names) + len(problems)
	problems = merge(problems, judgeWildcards(wildcards, others, o))
	if len(problems) > 0 {
		return List{}, &Error{Value: value, Problems: problems}
	}
	if len(wildcards) > 0 {
		return Wildcard(), nil
	}
	l := FromPrefixes(prefixes...)
	l.names = normalNames(names)
	return l, nil
}

// split cuts a value into its non-empty elements.
func split(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool {
		return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r'
	})
}

// judgeWildcards turns each "*" into a problem where it may not stand.
func judgeWildcards(at []Problem, others int, o Options) []Problem {
	for i := range at {
		switch {
		case !o.AllowWildcard:
			at[i].Rule, at[i].Fix = RuleWildcard, "list the ranges that are meant"
		case others > 0:
			at[i].Rule, at[i].Fix = `"*" mixed with ranges`, `write "*" alone, or only the ranges`
		default:
			return nil
		}
	}
	return at
}

// merge keeps input order over two lists that are in input order each.
func merge(a, b []Problem) []Problem {
	var out []Problem
	for len(a) > 0 && len(b) > 0 {
		if a[0].Index < b[0].Index {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// Names are the names in a value, sorted, whatever else is right or wrong in it.
func Names(value string) []string {
	var names []string
	for _, e := range split(value) {
		if isName(e) {
			names = append(names, e)
		}
	}
	return normalNames(names)
}

// isName reports a word that can be resolved later: lower-case letters, digits
// and dashes, starting with a letter. No address is one: it has a dot or colon.
func isName(e string) bool {
	for i, c := range []byte(e) {
		switch {
		case c >= 'a' && c <= 'z':
		case i > 0 && (c == '-' || c >= '0' && c <= '9'):
		default:
			return false
		}
	}
	return e != "" && len(e) <= 63
}

// parseElement reads one range. The problem has no element and index yet.
func parseElement(e string) (netip.Prefix, *Problem) {
	if p, ok := readRange(e); ok {
		return p, nil
	}
	return netip.Prefix{}, diagnose(e)
}

// readRange reads a prefix or a bare address, masked and unmapped.
func readRange(e string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(e)
	if err != nil {
		a, err := netip.ParseAddr(e)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, false
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() && p.Bits() < 96 {
		return netip.Prefix{}, false
	}
	return unmap(p), true
}

const plainFix = "write an address range such as 10.0.0.0/8 or fd00::/8"

// diagnose says what is wrong with an element that is no range. The tests go
// from the most telling mark to the least.
func diagnose(e string) *Problem {
	for _, test := range []func(string) *Problem{
		shortMapped, escaped, braced, quoted, negated, zoned, spanned, netmask, otherSeparator,
		leadingZero, badLength, withPort, shortV4, named,
	} {
		if p := test(e); p != nil {
			return p
		}
	}
	return &Problem{Rule: "not an address range", Fix: plainFix}
}

// corrected is "write X" when X is a range, and the general advice otherwise.
func corrected(x string) string {
	if p, ok := readRange(x); ok {
		return "write " + p.String()
	}
	return plainFix
}

func shortMapped(e string) *Problem {
	p, err := netip.ParsePrefix(e)
	if err != nil {
		return nil
	}
	return &Problem{
		Rule: fmt.Sprintf("IPv4-mapped address with prefix length %d: shorter than 96 it covers more than IPv4", p.Bits()),
		Fix:  "write the IPv4 range, such as 10.0.0.0/8",
	}
}

func escaped(e string) *Problem {
	if !strings.Contains(e, `\`) {
		return nil
	}
	return &Problem{Rule: `backslash (the escape "\," belongs on a helm or istioctl command line only)`,
		Fix: "separate ranges with a plain comma"}
}

func braced(e string) *Problem {
	if !strings.ContainsAny(e, "{}[]()<>") {
		return nil
	}
	return &Problem{Rule: "brackets around ranges (a list where one string is expected)",
		Fix: "write the ranges in one string, separated by commas, without brackets"}
}

func quoted(e string) *Problem {
	if !strings.ContainsAny(e, "\"'`") {
		return nil
	}
	return &Problem{Rule: "quote inside the value", Fix: corrected(strings.Trim(e, "\"'`"))}
}

func negated(e string) *Problem {
	if !strings.HasPrefix(e, "!") {
		return nil
	}
	return &Problem{Rule: `"!" before a range`, Fix: "put the range into the exclude list"}
}

func zoned(e string) *Problem {
	addr, rest, ok := strings.Cut(e, "%")
	if !ok {
		return nil
	}
	zone, length, hasLength := strings.Cut(rest, "/")
	fixed := addr
	if hasLength {
		fixed += "/" + length
	}
	return &Problem{Rule: fmt.Sprintf("zone %q in an address", "%"+clip(zone)), Fix: corrected(fixed)}
}

func spanned(e string) *Problem {
	r, err := netipx.ParseIPRange(e)
	if err != nil {
		return nil
	}
	ps := r.Prefixes()
	fix := "write the prefixes that cover it"
	if len(ps) <= 4 {
		fix = "write " + FromPrefixes(ps...).String()
	}
	return &Problem{Rule: `range written with "-"`, Fix: fix}
}

func netmask(e string) *Problem {
	addr, mask, ok := strings.Cut(e, "/")
	m, err := netip.ParseAddr(mask)
	if !ok || err != nil {
		return nil
	}
	fix := "write the prefix length, such as 10.0.0.0/8"
	if bits, ok := maskBits(m); ok {
		fix = corrected(addr + "/" + strconv.Itoa(bits))
	}
	return &Problem{Rule: fmt.Sprintf("netmask %q instead of a prefix length", clip(mask)), Fix: fix}
}

// maskBits is the prefix length of a netmask, if its ones are contiguous.
func maskBits(m netip.Addr) (int, bool) {
	for bits := range m.BitLen() + 1 {
		all := netip.PrefixFrom(ones(m.BitLen()), bits).Masked().Addr()
		if all == m {
			return bits, true
		}
	}
	return 0, false
}

func ones(bits int) netip.Addr {
	if bits == 32 {
		return netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	b := [16]byte{}
	for i := range b {
		b[i] = 255
	}
	return netip.AddrFrom16(b)
}

func otherSeparator(e string) *Problem {
	i := strings.IndexAny(e, ";|+&")
	if i < 0 {
		return nil
	}
	return &Problem{Rule: fmt.Sprintf("%q between ranges", e[i:i+1]), Fix: "separate ranges with a comma"}
}

func leadingZero(e string) *Problem {
	addr, length, hasLength := strings.Cut(e, "/")
	var rules []string
	if isV4Shape(addr) {
		parts := strings.Split(addr, ".")
		for i, p := range parts {
			if t := trimZeros(p); t != p {
				rules = append(rules, fmt.Sprintf("leading zero in %q (some tools read it as octal)", clip(p)))
				parts[i] = t
			}
		}
		addr = strings.Join(parts, ".")
	}
	if t := trimZeros(length); t != length && isDigits(length) {
		rules = append(rules, fmt.Sprintf("leading zero in prefix length %q", "/"+clip(length)))
		length = t
	}
	if len(rules) == 0 {
		return nil
	}
	if hasLength {
		addr += "/" + length
	}
	return &Problem{Rule: strings.Join(rules, "; "), Fix: corrected(addr)}
}

func badLength(e string) *Problem {
	addr, length, ok := strings.Cut(e, "/")
	a, err := netip.ParseAddr(addr)
	if !ok || err != nil {
		return nil
	}
	family, most := "IPv4", 32
	if a.Is6() {
		family, most = "IPv6", 128
	}
	switch {
	case length == "":
		return &Problem{Rule: `no prefix length after "/"`, Fix: corrected(addr)}
	case isDigits(length):
		return &Problem{Rule: fmt.Sprintf("prefix length %s is over %d, the most for %s", clip(length), most, family),
			Fix: fmt.Sprintf("use a prefix length from 0 to %d", most)}
	}
	return &Problem{Rule: fmt.Sprintf("%q is not a prefix length", clip(length)),
		Fix: fmt.Sprintf("use a prefix length from 0 to %d", most)}
}

func withPort(e string) *Problem {
	ap, err := netip.ParseAddrPort(e)
	if err != nil {
		return nil
	}
	return &Problem{Rule: "address with a port",
		Fix: corrected(ap.Addr().String()) + "; ports have lists of their own"}
}

func shortV4(e string) *Problem {
	addr, length, _ := strings.Cut(e, "/")
	n := strings.Count(addr, ".") + 1
	if !isV4Shape(addr) || n == 4 {
		return nil
	}
	fix := plainFix
	if n < 4 && length != "" {
		fix = corrected(addr + strings.Repeat(".0", 4-n) + "/" + length)
	}
	return &Problem{Rule: fmt.Sprintf("IPv4 address with %d of 4 numbers", n), Fix: fix}
}

func named(e string) *Problem {
	if isName(e) {
		return &Problem{Rule: RuleName, Fix: plainFix}
	}
	if strings.Contains(e, ".") && strings.Trim(strings.ToLower(e), "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" &&
		!isV4Shape(e) {
		return &Problem{Rule: "a host name, not an address range", Fix: plainFix}
	}
	return nil
}

// isV4Shape reports digits and dots, with a digit in every part.
func isV4Shape(s string) bool {
	for _, p := range strings.Split(s, ".") {
		if !isDigits(p) {
			return false
		}
	}
	return true
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func trimZeros(s string) string {
	if t := strings.TrimLeft(s, "0"); t != "" {
		return t
	}
	return s[:min(1, len(s))]
}
