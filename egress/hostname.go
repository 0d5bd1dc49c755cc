package egress

import (
	"fmt"
	"iter"
	"net/netip"
	"strings"
)

// normalHost is a host in lower case without a final dot, or why it is not one.
// A wildcard is the whole first label: *.example.com.
func normalHost(text string) (name, fault string) {
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
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return "", "must be a DNS name, not an IP address"
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

func labelFault(l string) string {
	if l == "" || len(l) > 63 {
		return "invalid DNS name: a label must have 1 to 63 characters"
	}
	for _, c := range []byte(l) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return fmt.Sprintf("invalid DNS name: %q is not a letter, digit, \"-\" or \"_\"", c)
		}
	}
	if l[0] == '-' || l[len(l)-1] == '-' {
		return "invalid DNS name: a label must not begin or end with \"-\""
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
