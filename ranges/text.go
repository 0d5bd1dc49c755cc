package ranges

import (
	"regexp"
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
)

// lines reads text that is no YAML or JSON: the output of grep, of describe, a
// table, a command line, an error.
func (r *reader) lines(c chunk) bool {
	known := r.probe(c.lines, c.line, "")
	known = r.tables(c) || known
	known = r.flags(c) || known
	known = r.described(c) || known
	return r.keyLines(c) || known
}

// unquote is a value without comment, quotes, brackets and a trailing comma.
func unquote(s string) string {
	if i := strings.Index(s, " #"); i >= 0 {
		s = s[:i]
	}
	s = strings.TrimSuffix(strings.TrimSpace(s), ",")
	parts := strings.Split(strings.Trim(s, "[] "), ",")
	for i, p := range parts {
		parts[i] = strings.Trim(strings.TrimSpace(p), `"'`)
	}
	if s = strings.Join(parts, ","); s == "null" || s == "~" || s == "{" {
		return ""
	}
	return s
}

// textFlags are the flags that hold ranges on a command line or in a unit file,
// where the program they belong to is unknown.
var textFlags = map[string]struct {
	kind     Kind
	src      source
	platform string
}{
	"service-cluster-ip-range": {Service, source{"flag --service-cluster-ip-range", rankAPIServer, Complete, false}, ""},
	"cluster-cidr":             {Pod, source{"flag --cluster-cidr", rankClusterCIDR, Configured, false}, ""},
	"service-cidr":             {Service, source{"flag --service-cidr", rankConfig, Configured, false}, ""},
	"pod-network-cidr":         {Pod, source{"flag --pod-network-cidr", rankPodConfig, Configured, false}, ""},
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
		r.take(f.kind, f.src, found{scalar(line, value), "--" + name})
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
			{"PODCIDR", Pod, source{"node podCIDRs", rankSlices, Minimum, false}},
			{"POD_CIDR", Pod, source{"node podCIDRs", rankSlices, Minimum, false}},
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
			r.take(kind, src, found{scalar(c.line+i, cells[at]), heads[at]})
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
	n := &document.Node{Kind: document.Map, Line: c.line}
	pools := false
	for i, l := range c.lines {
		m := ciliumSetting.FindStringSubmatch(strings.TrimSpace(l))
		if m == nil || n.HasKey(m[1]) {
			continue
		}
		switch m[1] {
		case "cluster-pool-ipv4-cidr", "cluster-pool-ipv6-cidr":
			pools = true
		case "ipam", "enable-ipv4", "enable-ipv6":
		default:
			continue
		}
		n.Fields = append(n.Fields, document.Field{Name: m[1], Line: c.line + i, Value: scalar(c.line+i, unquote(m[2]))})
	}
	if !pools && !n.HasKey("ipam") {
		return false
	}
	cilium(r, n, "")
	return true
}

var (
	// The prefix is the file name, line number, or both, that grep may print.
	keyLine   = regexp.MustCompile(`^(?:[^\s#"':]+:)?(?:\d+:)?\s*(?:-\s+)?["']?([A-Za-z][A-Za-z0-9_-]*|Pod Subnet|Service Subnet)["']?\s*[:=]\s*(.*)$`)
	tableLine = regexp.MustCompile(`^\|+\s*([A-Za-z][A-Za-z0-9_-]*)\s*\|+\s*(\S+)\s*\|+$`)
	listItem  = regexp.MustCompile(`^\s*(?:-\s+)?["']?([0-9A-Fa-f:.]+/\d+)["']?,?\s*$`)
)

// keyLines reads lines of the form "key: value". A key of its own may have its
// values on the lines below, each by itself.
func (r *reader) keyLines(c chunk) bool {
	known := false
	seen := map[string]int{}
	root := r.root
	defer func() { r.root = max(r.root, root) }()
	for i := 0; i < len(c.lines); i++ {
		m := keyLine.FindStringSubmatch(c.lines[i])
		if m == nil {
			m = tableLine.FindStringSubmatch(strings.TrimSpace(c.lines[i]))
		}
		if m == nil {
			continue
		}
		k, ok := lineKeys[m[1]]
		if !ok {
			continue
		}
		known = true
		// A key's second line is another statement, and has to agree.
		r.root = root + seen[m[1]]
		seen[m[1]]++
		value := unquote(m[2])
		at := c.line + i
		if value != "" {
			r.line(k, found{scalar(at, value), m[1]})
			continue
		}
		for i+1 < len(c.lines) && listItem.MatchString(c.lines[i+1]) {
			i++
			item := listItem.FindStringSubmatch(c.lines[i])[1]
			r.line(k, found{scalar(c.line+i, item), m[1]})
		}
	}
	return known
}
