package cidr

import (
	"net/netip"
	"strings"
)

// Options are what a list may hold besides ranges, and the fixes to suggest for
// what it may not.
type Options struct {
	AllowWildcard bool // "*" alone
	AllowNames    bool // words like "cluster", kept unresolved

	WildcardFix string // for "*" where it is not allowed
	NameFix     string // for a name where none is allowed; empty: plainFix
}

// Elements are the elements of a value as they are written, without empty ones.
func Elements(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool {
		return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r'
	})
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
