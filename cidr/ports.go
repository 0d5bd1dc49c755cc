package cidr

import (
	"slices"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Ports is a list of ports, or the wildcard. The zero value is the empty list.
type Ports struct {
	wildcard bool
	ports    []uint16 // sorted, unique
}

// PortsOf is the list of the given ports.
func PortsOf(ports ...uint16) Ports {
	if len(ports) == 0 {
		return Ports{}
	}
	ps := slices.Clone(ports)
	slices.Sort(ps)
	return Ports{ports: slices.Compact(ps)}
}

// ParsePorts reads "80,443", "*" where allowed, or nothing. White space and
// empty elements are tolerated, duplicates removed, the result sorted. Ranges
// are rejected: Istio has none. The error is a problem.List, as Parse's is.
func ParsePorts(value string, allowWildcard bool) (Ports, error) {
	var (
		ports []uint16
		found elements
	)
	for i, e := range Elements(value) {
		if e == "*" {
			found.wildcards = append(found.wildcards, i)
			continue
		}
		n, err := strconv.ParseUint(e, 10, 16)
		switch {
		case err == nil:
			ports = append(ports, uint16(n))
		case found.room():
			found.add(i, e, diagnosePort(e))
		}
	}
	wildcard := problem.Conflict("", "", "ports", `use "*" alone, or only the ports`)
	if !allowWildcard {
		wildcard = noWildcard("")
	}
	switch {
	case allowWildcard && found.onlyWildcard(len(ports)):
		return Ports{wildcard: true}, nil
	case len(found.bad)+len(found.wildcards) > 0:
		return Ports{}, found.list(wildcard)
	}
	return PortsOf(ports...), nil
}

func diagnosePort(e string) problem.Problem {
	const fix = "use port numbers separated by commas, such as 80,443"
	for _, sep := range []string{"-", ":"} {
		from, to, ok := strings.Cut(e, sep)
		if ok && isDigits(from) && isDigits(to) {
			return problem.Invalid("", "", "port ranges are not supported", spelledOut(from, to))
		}
	}
	switch {
	case isDigits(e):
		return problem.Port("", "")
	case strings.Contains(e, "/"):
		return problem.Invalid("", "", "protocols are not supported", fix)
	case strings.Contains(e, `\`):
		return problem.Invalid("", "", `backslash (the escape "\," is for helm and istioctl command lines only)`, fix)
	case strings.ContainsAny(e, "{}[]()"):
		return problem.Invalid("", "", "brackets are not supported", fix)
	}
	return problem.Invalid("", "", "not a port number", fix)
}

// spelledOut lists the ports of a short range.
func spelledOut(from, to string) string {
	a, errA := strconv.ParseUint(from, 10, 16)
	b, errB := strconv.ParseUint(to, 10, 16)
	if errA != nil || errB != nil || b < a || b-a > 15 {
		return "list every port, separated by commas"
	}
	var all []uint16
	for n := a; n <= b; n++ {
		all = append(all, uint16(n))
	}
	return "use " + PortsOf(all...).String()
}

// IsWildcard reports "*": every port.
func (p Ports) IsWildcard() bool { return p.wildcard }

// IsEmpty reports a list without a port.
func (p Ports) IsEmpty() bool { return !p.wildcard && len(p.ports) == 0 }

// Ports are the ports, ascending; none for a wildcard. The caller owns the slice.
func (p Ports) Ports() []uint16 { return slices.Clone(p.ports) }

// Contains reports whether the port is in the list.
func (p Ports) Contains(port uint16) bool {
	_, found := slices.BinarySearch(p.ports, port)
	return p.wildcard || found
}

// Equal reports whether both lists hold the same ports.
func (p Ports) Equal(o Ports) bool {
	return p.wildcard == o.wildcard && slices.Equal(p.ports, o.ports)
}

// String is the normal form: "*", "", or "80,443".
func (p Ports) String() string {
	if p.wildcard {
		return "*"
	}
	var buf []byte
	for i, port := range p.ports {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = strconv.AppendUint(buf, uint64(port), 10)
	}
	return string(buf)
}

// MarshalText is String.
func (p Ports) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
