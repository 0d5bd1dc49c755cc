package redirect

import (
	"fmt"
	"net/netip"
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
	captured = append(captured, "IPv4 "+included(c.Include, c.Include.V4()))
	if f == Inet {
		captured = append(captured, "IPv6 "+included(c.Include, c.Include.V6()))
	} else {
		captured = append(captured, "no IPv6 in this kernel")
	}
	if !c.IncludePorts.IsEmpty() {
		captured = append(captured, "ports "+c.IncludePorts.String())
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
	bypass = append(bypass, "uid "+join(c.ProxyUIDs), "gid "+join(c.ProxyGIDs), loopback, "non-TCP")
	return fmt.Sprintf("captures to port %d: %s; bypass: %s",
		c.ProxyPort, strings.Join(captured, ", "), strings.Join(bypass, ", "))
}

func included(l cidr.List, ps []netip.Prefix) string {
	switch {
	case l.IsWildcard():
		return "everything"
	case len(ps) == 0:
		return "no range"
	}
	return few(ps)
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
