package egress

import (
	"fmt"
	"iter"
	"net/netip"
	"strings"
)

// normalHost gives a host in lower case without a final dot, and why it is not
// one. A wildcard stands for the whole first label: *.example.com.
func normalHost(text string) (name, fault string) {
	name = strings.TrimSuffix(strings.ToLower(text), ".")
	rest, wildcard := strings.CutPrefix(name, "*.")
	labels := strings.Split(rest, ".")
	switch {
	case name == "":
		return "", "a host is missing"
	case name == "*":
		return "", "a host of * alone would stand for every name"
	case len(name) > 253:
		return "", "a host has at most 253 characters"
	case wildcard && len(labels) < 2:
		return "", "a wildcard over a top-level domain would stand for every name in it"
	case strings.Contains(rest, "*"):
		return "", "a * stands only for the whole first label, as in *.example.com"
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return "", "a host is a name; addresses belong into addresses"
	}
	for _, l := range labels {
		if fault := labelFault(l); fault != "" {
			return "", fault
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return "", "the last label of a name is not a number"
	}
	return name, ""
}

func labelFault(l string) string {
	if l == "" || len(l) > 63 {
		return "each label of a name has 1 to 63 characters"
	}
	for _, c := range []byte(l) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return fmt.Sprintf("a name has letters, digits, - and _, and not %q", c)
		}
	}
	if l[0] == '-' || l[len(l)-1] == '-' {
		return "a label neither begins nor ends with -"
	}
	return ""
}

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
