package egress

import (
	"fmt"
	"iter"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// normalHost is a host in lower case without a final dot, or why it is not one.
// A wildcard is the whole first label: *.example.com. The fault has a fix where the
// text shows which name is meant.
func normalHost(text string) (name string, fault problem.Problem) {
	name, rule := plainHost(text)
	if rule == "" {
		return name, problem.Problem{}
	}
	fault = problem.Invalid("", text, rule, "")
	if meant := meantHost(text); meant != "" {
		fault.Fix = "use " + meant
	}
	return "", fault
}

// plainHost is normalHost without a fix.
func plainHost(text string) (name, fault string) {
	name = strings.TrimSuffix(strings.ToLower(text), ".")
	rest, wildcard := strings.CutPrefix(name, "*.")
	labels := strings.Split(rest, ".")
	switch {
	case name == "":
		return "", "host is required"
	case name == "*":
		return "", "wildcard host \"*\" is not allowed"
	case len(name) > 253:
		return "", "invalid DNS name: more than 253 characters"
	case wildcard && len(labels) < 2:
		return "", "wildcard must not cover a top-level domain"
	case strings.Contains(rest, "*"):
		return "", "\"*\" is only allowed as the first label"
	}
	if isAddress(name) {
		return "", "must be a DNS name, not an IP address"
	}
	if fault := characterFault(text); fault != "" {
		return "", fault
	}
	for _, l := range labels {
		if fault := labelFault(l); fault != "" {
			return "", fault
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return "", "invalid DNS name: the last label is a number"
	}
	return name, ""
}

// isAddress reports whether a name is an IP address, in brackets or not.
func isAddress(name string) bool {
	if last := name[len(name)-1]; last != ']' && !strings.Contains(name, ":") && (last < '0' || last > '9') {
		return false // nearly all names: parsing one makes an error
	}
	_, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil
}

// characterFault finds the first character that a DNS name must not have. A
// character may have several code points: a letter and its accents, an emoji and
// its variant.
func characterFault(text string) string {
	at := strings.IndexFunc(text, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.*", c)
	})
	if at < 0 {
		return ""
	}
	first, size := utf8.DecodeRuneInString(text[at:])
	end, joined := at+size, false
	for end < len(text) {
		c, size := utf8.DecodeRuneInString(text[end:])
		const joiner, skin, lastSkin = '\u200d', '\U0001F3FB', '\U0001F3FF'
		if !joined && !unicode.IsMark(c) && c != joiner && (c < skin || c > lastSkin) {
			break
		}
		end, joined = end+size, c == joiner
	}
	if unicode.IsMark(first) && at > 0 {
		at-- // the letter before, which is of one byte
	}
	if first < utf8.RuneSelf {
		return fmt.Sprintf("invalid DNS name: %q is not a letter, digit, \"-\" or \"_\"", first)
	}
	return fmt.Sprintf("invalid DNS name: %s is not an ASCII letter, digit, \"-\" or \"_\"", problem.Quote(text[at:end]))
}

func labelFault(l string) string {
	if l == "" || len(l) > 63 {
		return "invalid DNS name: a label must have 1 to 63 characters"
	}
	if l[0] == '-' || l[len(l)-1] == '-' {
		return "invalid DNS name: a label must not begin or end with \"-\""
	}
	return ""
}

// meantHost is the name in a text that is more than a name, such as a URL, or the
// one that an internationalized name has in DNS; empty if there is none.
func meantHost(text string) string {
	const longest = 1000 // more than a name has in any encoding
	if len(text) > longest {
		return ""
	}
	text = strings.TrimSpace(text)
	if _, rest, found := strings.Cut(text, "://"); found {
		text = rest
	}
	text, _, _ = strings.Cut(text, "/")
	if host, port, found := strings.Cut(text, ":"); found && strings.Trim(port, "0123456789") == "" {
		text = host
	}
	rest, wildcard := strings.CutPrefix(text, "*.")
	if !wildcard && strings.HasPrefix(text, ".") {
		rest, wildcard = text[1:], true
	}
	if ascii, err := internationalized.ToASCII(rest); err == nil {
		rest = ascii
	}
	if wildcard {
		rest = "*." + rest
	}
	name, fault := plainHost(rest)
	if fault != "" {
		return ""
	}
	return name
}

// internationalized translates names as browsers do.
var internationalized = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.StrictDomainName(false))

// covers reports whether a host is equal to a name, or a wildcard that matches
// all of it.
func covers(host, name string) bool {
	suffix, wildcard := strings.CutPrefix(host, "*")
	if !wildcard {
		return host == name && name != ""
	}
	return strings.HasSuffix(strings.TrimPrefix(name, "*"), suffix) && len(name) >= len(host)
}

// wider are a name and then the wildcards that cover it, closest first.
func wider(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for n, found := name, true; found && yield(n); {
			_, n, found = strings.Cut(strings.TrimPrefix(n, "*."), ".")
			n = "*." + n
		}
	}
}

// closest is the entry of a name itself, or of the longest wildcard that covers
// it.
func closest[T any](of map[string]T, name string, counts func(T) bool) (T, bool) {
	for n := range wider(name) {
		if t, ok := of[n]; ok && counts(t) {
			return t, true
		}
	}
	var none T
	return none, false
}

// coverKey is the key of a host in a map that is searched by coverKeys: a name is
// its own, and *.example.com has .example.com.
func coverKey(host string) string { return strings.TrimPrefix(host, "*") }

// coverKeys are the keys of a name and then of the wildcards that cover it, closest
// first. Unlike wider, it makes no text: it is for all hosts of a view.
func coverKeys(host string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for key := coverKey(host); key != "" && yield(key); {
			dot := strings.IndexByte(key[1:], '.')
			if dot < 0 {
				return
			}
			key = key[dot+1:]
		}
	}
}
