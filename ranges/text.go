package ranges

import (
	"regexp"
	"strings"
)

// textFlags are the flags that hold ranges on a command line or in a unit file,
// where nothing says which program they belong to.
var textFlags = map[string]struct {
	kind     Kind
	src      source
	platform string
}{
	"service-cluster-ip-range": {Service, source{"flag --service-cluster-ip-range", rankAPIServer, Complete, false}, ""},
	"cluster-cidr":             {Pod, source{"flag --cluster-cidr", rankClusterCIDR, Claimed, false}, ""},
	"service-cidr":             {Service, source{"flag --service-cidr", rankConfig, Claimed, false}, ""},
	"pod-network-cidr":         {Pod, source{"flag --pod-network-cidr", rankPodConfig, Claimed, false}, ""},
}

// textFlag is one flag in text: at the start of a word, with its value joined by
// "=" or in the next word, which may be on the next line.
var textFlag = regexp.MustCompile(`(^|[\s"'\[,:=])--(service-cluster-ip-range|cluster-cidr|service-cidr|pod-network-cidr)` +
	`(?:=["']?|["']?,?\s*\\?\s+["']?|["'],\s*["'])([0-9A-Fa-f:.]+/[0-9]+(?:,[0-9A-Fa-f:.]+/[0-9]+)*)`)

// flags reads flags in text; lines that are comments are none of it.
func (r *reader) flags(c chunk) bool {
	lines := make([]string, len(c.lines))
	for i, l := range c.lines {
		body := l
		if m := grepPrefix.FindString(l); m != "" {
			body = l[len(m):]
		}
		// An annotation in "describe" is read by its name.
		if s := strings.TrimSpace(body); !strings.HasPrefix(s, "#") && !strings.HasPrefix(s, "//") && !strings.Contains(s, ".io/node-args:") {
			lines[i] = l
		}
	}
	text := strings.Join(lines, "\n")
	known := false
	for _, m := range textFlag.FindAllStringSubmatchIndex(text, -1) {
		name, value := text[m[4]:m[5]], text[m[6]:m[7]]
		f := textFlags[name]
		line := c.line + strings.Count(text[:m[6]], "\n")
		r.take(f.kind, f.src, found{&node{shape: scalar, line: line, text: value}, "--" + name})
		known = true
	}
	return known
}

var grepPrefix = regexp.MustCompile(`^[^\s#"':=]+:(\d+:)?`)

// tables reads what kubectl and calicoctl print of objects, by the columns of
// the heading.
func (r *reader) tables(c chunk) bool {
	known := false
	for i, l := range c.lines {
		heads := strings.Fields(l)
		if len(heads) < 2 || heads[0] != "NAME" && heads[0] != "NAMESPACE" {
			continue
		}
		for _, t := range []struct {
			column string
			kind   Kind
			src    source
		}{
			{"CIDRS", Service, source{"ServiceCIDR", rankServiceCIDR, Complete, false}},
			{"CIDR", Pod, source{"Calico IPPool", rankPool, Complete, false}},
			{"PODCIDR", Pod, source{"node podCIDRs", rankSlices, LowerBound, false}},
			{"POD_CIDR", Pod, source{"node podCIDRs", rankSlices, LowerBound, false}},
		} {
			if at := column(heads, t.column); at >= 0 && (t.column != "CIDR" || column(heads, "SELECTOR") >= 0 || column(heads, "DISABLED") >= 0) {
				known = true
				r.rows(c, i, heads, at, t.kind, t.src)
			}
		}
	}
	return r.ciliumTable(c) || known
}

// rows reads one column below a heading, up to the first empty line.
func (r *reader) rows(c chunk, heading int, heads []string, at int, kind Kind, src source) {
	disabled := column(heads, "DISABLED")
	for i := heading + 1; i < len(c.lines) && strings.TrimSpace(c.lines[i]) != ""; i++ {
		cells := strings.Fields(c.lines[i])
		if at >= len(cells) || cells[0] == "NAME" {
			return
		}
		if disabled >= 0 && disabled < len(cells) && cells[disabled] == "true" {
			continue
		}
		if strings.Contains(cells[at], "/") {
			r.take(kind, src, found{&node{shape: scalar, line: c.line + i, text: cells[at]}, heads[at]})
		}
	}
}

func column(heads []string, name string) int {
	for i, h := range heads {
		if h == name {
			return i
		}
	}
	return -1
}

var ciliumSetting = regexp.MustCompile(`^"?([a-z][a-z0-9-]+)"?(?::\s*|\s{2,})(.+?)\s*$`)

// ciliumTable reads the output of "cilium config view", and lines of it.
func (r *reader) ciliumTable(c chunk) bool {
	n := &node{shape: mapping, line: c.line}
	pools := false
	for i, l := range c.lines {
		m := ciliumSetting.FindStringSubmatch(strings.TrimSpace(l))
		if m == nil || n.hasKey(m[1]) {
			continue
		}
		switch m[1] {
		case "cluster-pool-ipv4-cidr", "cluster-pool-ipv6-cidr":
			pools = true
		case "ipam", "enable-ipv4", "enable-ipv6":
		default:
			continue
		}
		n.fields = append(n.fields, field{m[1], c.line + i, &node{shape: scalar, line: c.line + i, text: unquote(m[2])}})
	}
	if !pools && !n.hasKey("ipam") {
		return false
	}
	cilium(r, n, "")
	return true
}
