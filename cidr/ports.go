package cidr

import (
	"slices"
	"strconv"
	"strings"
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
// are refused: Istio has none. The error is an *Error.
func ParsePorts(value string, allowWildcard bool) (Ports, error) {
	var (
		ports     []uint16
		problems  []Problem
		wildcards []Problem
	)
	for i, e := range split(value) {
		if e == "*" {
			wildcards = append(wildcards, Problem{Element: e, Index: i})
			continue
		}
		n, err := strconv.ParseUint(e, 10, 16)
		if err != nil {
			p := diagnosePort(e)
			p.Element, p.Index = e, i
			problems = append(problems, p)
			continue
		}
		ports = append(ports, uint16(n))
	}
	for _, w := range wildcards {
		switch {
		case !allowWildcard:
			w.Rule, w.Fix = RuleWildcard, "list the ports that are meant"
		case len(ports)+len(problems) > 0:
			w.Rule, w.Fix = `"*" mixed with ports`, `write "*" alone, or only the ports`
		default:
			return Ports{wildcard: true}, nil
		}
		problems = append(problems, w)
	}
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b Problem) int { return a.Index - b.Index })
		return Ports{}, &Error{Value: value, Problems: problems}
	}
	return PortsOf(ports...), nil
}

func diagnosePort(e string) Problem {
	const fix = "write port numbers separated by commas, such as 80,443"
	for _, sep := range []string{"-", ":"} {
		from, to, ok := strings.Cut(e, sep)
		if ok && isDigits(from) && isDigits(to) {
			return Problem{Rule: "range of ports, which this list has not", Fix: spelledOut(from, to)}
		}
	}
	switch {
	case isDigits(e):
		return Problem{Rule: "port over 65535", Fix: "use a port from 1 to 65535"}
	case strings.Contains(e, "/"):
		return Problem{Rule: "port with a protocol", Fix: fix}
	case strings.Contains(e, `\`):
		return Problem{Rule: `backslash (the escape "\," belongs on a helm or istioctl command line only)`, Fix: fix}
	case strings.ContainsAny(e, "{}[]()"):
		return Problem{Rule: "brackets around ports (a list where one string is expected)", Fix: fix}
	}
	return Problem{Rule: "not a port number", Fix: fix}
}

// spelledOut lists a short range; a long one is named by its shape only.
func spelledOut(from, to string) string {
	a, errA := strconv.ParseUint(from, 10, 16)
	b, errB := strconv.ParseUint(to, 10, 16)
	if errA != nil || errB != nil || b < a || b-a > 15 {
		return "write every port, separated by commas"
	}
	var all []uint16
	for n := a; n <= b; n++ {
		all = append(all, uint16(n))
	}
	return "write " + PortsOf(all...).String()
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
