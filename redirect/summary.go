package redirect

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/cidr"
)

// Summary is one line: what the rules capture and what bypasses them, per
// family, with counts and the first few ranges.
func Summary(c Config, f Family) string {
	if c.Mode == ModeNone {
		return "captures nothing: no rules in mode NONE"
	}
	var captured, bypass []string
	families := []cidr.Family{cidr.IPv4}
	if f == Inet {
		families = append(families, cidr.IPv6)
	}
	for _, family := range families {
		captured = append(captured, string(family)+" "+c.captured(family))
	}
	if f != Inet {
		captured = append(captured, "no IPv6 in this kernel")
	}
	if ports := c.capture().IncludedPorts(); !ports.IsEmpty() && c.capturesAny(families) {
		captured = append(captured, "ports "+ports.String())
	}
	if v4 := c.Exclude.V4(); len(v4) > 0 {
		bypass = append(bypass, "IPv4 "+few(v4))
	}
	if v6 := c.Exclude.V6(); len(v6) > 0 && f == Inet {
		bypass = append(bypass, "IPv6 "+few(v6))
	}
	if !c.ExcludePorts.IsEmpty() {
		bypass = append(bypass, "ports "+c.ExcludePorts.String())
	}
	if len(c.ExcludeInterfaces) > 0 {
		bypass = append(bypass, "interfaces "+strings.Join(c.ExcludeInterfaces, ","))
	}
	loopback := "loopback"
	if c.CaptureLoopback {
		loopback = "127.0.0.1 and ::1"
	}
	bypass = append(bypass, "uid "+join(c.ProxyUIDs))
	if len(c.ProxyGIDs) > 0 {
		bypass = append(bypass, "gid "+join(c.ProxyGIDs))
	}
	bypass = append(bypass, loopback, "non-TCP")
	does := fmt.Sprintf("captures to port %d", c.ProxyPort)
	if !c.capturesAny(families) {
		does = "captures nothing"
	}
	return fmt.Sprintf("%s: %s; bypass: %s", does, strings.Join(captured, ", "), strings.Join(bypass, ", "))
}

// captured is what is captured of a family by its address.
func (c Config) captured(f cidr.Family) string {
	ps := c.Include.V4()
	if f == cidr.IPv6 {
		ps = c.Include.V6()
	}
	switch {
	case len(ps) == 0:
		return "no range"
	case !(cidr.Capture{Include: c.Include, Exclude: c.Exclude}).Captures(f):
		return "nothing (all excluded)"
	case c.Include.IsWildcard():
		return "everything"
	}
	return few(slices.DeleteFunc(ps, c.Exclude.ContainsPrefix))
}

func (c Config) capturesAny(families []cidr.Family) bool {
	return slices.ContainsFunc(families, c.capture().Captures)
}

// capture is the lists of the configuration.
func (c Config) capture() cidr.Capture {
	return cidr.Capture{Include: c.Include, Exclude: c.Exclude, IncludePorts: c.IncludePorts, ExcludePorts: c.ExcludePorts}
}

// few is the count and the first few ranges.
func few(ps []netip.Prefix) string {
	const most = 3
	var shown []string
	for _, p := range ps[:min(most, len(ps))] {
		shown = append(shown, p.String())
	}
	more, noun := "", "ranges"
	if len(ps) > most {
		more = ", …"
	}
	if len(ps) == 1 {
		noun = "range"
	}
	return fmt.Sprintf("%d %s (%s%s)", len(ps), noun, strings.Join(shown, ", "), more)
}

func join(ids []uint32) string {
	s := make([]string, len(ids))
	for i, id := range ids {
		s[i] = fmt.Sprint(id)
	}
	return strings.Join(s, ",")
}
