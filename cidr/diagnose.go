package cidr

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"go4.org/netipx"

	"github.com/outrider-mesh/outrider/internal/problem"
)

const plainFix = "use a CIDR range such as 10.0.0.0/8 or fd00::/8"

// diagnose describes what is wrong with an element that is not a range, most
// specific test first.
func diagnose(e string, o Options) problem.Problem {
	for _, test := range []func(string) *problem.Problem{
		shortMapped, escaped, braced, quoted, negated, zoned, spanned, netmask, otherSeparator,
		leadingZero, badLength, withPort, shortV4, hostName,
	} {
		if p := test(e); p != nil {
			return *p
		}
	}
	if isName(e) {
		return problem.Invalid("", "", "names are not allowed here, only CIDR ranges", cmp.Or(o.NameFix, plainFix))
	}
	return problem.Invalid("", "", "not a CIDR range", plainFix)
}

func invalid(rule, fix string) *problem.Problem {
	p := problem.Invalid("", "", rule, fix)
	return &p
}

// corrected is "use X" when X is a range, and the general advice otherwise.
func corrected(x string) string {
	if p, ok := readRange(x); ok {
		return "use " + p.String()
	}
	return plainFix
}

func shortMapped(e string) *problem.Problem {
	p, err := netip.ParsePrefix(e)
	if err != nil {
		return nil
	}
	return invalid(fmt.Sprintf("IPv4-mapped prefix length %d is below 96 and covers more than IPv4", p.Bits()), "use the IPv4 range, such as 10.0.0.0/8")
}

func escaped(e string) *problem.Problem {
	if !strings.Contains(e, `\`) {
		return nil
	}
	return invalid(`backslash (the escape "\," is for helm and istioctl command lines only)`, "separate ranges with a comma")
}

func braced(e string) *problem.Problem {
	if !strings.ContainsAny(e, "{}[]()<>") {
		return nil
	}
	return invalid("brackets are not supported", "use one string with ranges separated by commas")
}

func quoted(e string) *problem.Problem {
	if !strings.ContainsAny(e, "\"'`") {
		return nil
	}
	return invalid("quotes are not supported", corrected(strings.Trim(e, "\"'`")))
}

func negated(e string) *problem.Problem {
	if !strings.HasPrefix(e, "!") {
		return nil
	}
	return invalid("negation is not supported", "use the exclude list")
}

func zoned(e string) *problem.Problem {
	addr, rest, ok := strings.Cut(e, "%")
	if !ok {
		return nil
	}
	zone, length, hasLength := strings.Cut(rest, "/")
	fixed := addr
	if hasLength {
		fixed += "/" + length
	}
	return invalid(fmt.Sprintf("zone %q is not supported", "%"+problem.Short(zone)), corrected(fixed))
}

func spanned(e string) *problem.Problem {
	r, err := netipx.ParseIPRange(e)
	if err != nil {
		return nil
	}
	ps := r.Prefixes()
	fix := "use the prefixes that cover the range"
	if len(ps) <= 4 {
		fix = "use " + FromPrefixes(ps...).String()
	}
	return invalid(`"-" between addresses is not supported`, fix)
}

func netmask(e string) *problem.Problem {
	addr, mask, ok := strings.Cut(e, "/")
	m, err := netip.ParseAddr(mask)
	if !ok || err != nil {
		return nil
	}
	fix := "use a prefix length, such as 10.0.0.0/8"
	if bits, ok := maskBits(m); ok {
		fix = corrected(addr + "/" + strconv.Itoa(bits))
	}
	return invalid(fmt.Sprintf("netmask %q is not supported", problem.Short(mask)), fix)
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

func otherSeparator(e string) *problem.Problem {
	i := strings.IndexAny(e, ";|+&")
	if i < 0 {
		return nil
	}
	return invalid(fmt.Sprintf("invalid separator %q", e[i:i+1]), "separate ranges with a comma")
}

func leadingZero(e string) *problem.Problem {
	addr, length, hasLength := strings.Cut(e, "/")
	var rules []string
	if isV4Shape(addr) {
		parts := strings.Split(addr, ".")
		for i, p := range parts {
			if t := trimZeros(p); t != p {
				rules = append(rules, fmt.Sprintf("leading zero in %q (some programs read it as octal)", problem.Short(p)))
				parts[i] = t
			}
		}
		addr = strings.Join(parts, ".")
	}
	if t := trimZeros(length); t != length && isDigits(length) {
		rules = append(rules, fmt.Sprintf("leading zero in prefix length %q", "/"+problem.Short(length)))
		length = t
	}
	if len(rules) == 0 {
		return nil
	}
	if hasLength {
		addr += "/" + length
	}
	return invalid(strings.Join(rules, "; "), corrected(addr))
}

func badLength(e string) *problem.Problem {
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
		return invalid(`prefix length is missing after "/"`, corrected(addr))
	case isDigits(length):
		return invalid(fmt.Sprintf("prefix length %s exceeds %d for %s", problem.Short(length), most, family), fmt.Sprintf("use a prefix length from 0 to %d", most))
	}
	return invalid(fmt.Sprintf("invalid prefix length %q", problem.Short(length)), fmt.Sprintf("use a prefix length from 0 to %d", most))
}

func withPort(e string) *problem.Problem {
	ap, err := netip.ParseAddrPort(e)
	if err != nil {
		return nil
	}
	return invalid("port in an address range", corrected(ap.Addr().String())+"; ports are configured separately")
}

func shortV4(e string) *problem.Problem {
	addr, length, _ := strings.Cut(e, "/")
	n := strings.Count(addr, ".") + 1
	if !isV4Shape(addr) || n == 4 {
		return nil
	}
	switch {
	case n > 4:
		return invalid("more than 4 numbers in an IPv4 address", plainFix)
	case length == "":
		return invalid("incomplete IPv4 address", plainFix)
	}
	return invalid("incomplete IPv4 address", corrected(addr+strings.Repeat(".0", 4-n)+"/"+length))
}

func hostName(e string) *problem.Problem {
	if strings.Contains(e, ".") && strings.Trim(strings.ToLower(e), "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" &&
		!isV4Shape(e) {
		return invalid("host names are not supported", plainFix)
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
