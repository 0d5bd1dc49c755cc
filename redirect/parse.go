package redirect

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/internal/problem"
)

const (
	defaultProxyPort = 15001
	defaultProxyUID  = "1337"
)

// ParseArgs reads the arguments of the init container, in the letters and long
// names of istio-iptables, and its environment variables where a flag is
// absent. A flag with an empty value has its default (lists: empty). The notes
// say what is accepted but has no effect, and what the lists leave out. The
// error is an *ArgsError with every refused argument.
func ParseArgs(args []string, env func(string) string) (Config, []Note, error) {
	a := &arguments{values: map[string]value{}}
	a.read(args)
	a.fromEnvironment(env)
	notes := a.judge()
	c := a.config()
	if len(a.problems) > 0 {
		return Config{}, nil, &ArgsError{Problems: a.problems}
	}
	return c, append(notes, remarks(c)...), nil
}

// judge refuses what is not supported and collects what has no effect.
func (a *arguments) judge() []Note {
	var noInbound, without []string
	for i := range flags {
		f := &flags[i]
		v, given := a.values[f.long]
		if !given || v.text == "" || v.text == f.off || f.does == takes {
			continue
		}
		if f.isBool && !a.isSet(f) {
			continue
		}
		switch f.does {
		case inbound:
			noInbound = append(noInbound, v.source)
		case moot:
			without = append(without, fmt.Sprintf("%s (%s)", v.source, f.help))
		case refused:
			a.problem(v.source, v.text, "not supported: "+f.help, "leave it out")
		}
	}
	var notes []Note
	if len(noInbound) > 0 {
		notes = append(notes, Note("inbound traffic is never captured; without effect: "+strings.Join(noInbound, ", ")))
	}
	if len(without) > 0 {
		notes = append(notes, Note("without effect: "+strings.Join(without, ", ")))
	}
	return notes
}

// config reads the flags that have an effect.
func (a *arguments) config() Config {
	c := Config{
		Action:            a.action(),
		Mode:              a.mode(),
		ProxyPort:         a.port("envoy-port", defaultProxyPort),
		Include:           a.ranges("istio-service-cidr", true),
		Exclude:           a.ranges("istio-service-exclude-cidr", false),
		IncludePorts:      a.ports("istio-outbound-ports"),
		ExcludePorts:      a.ports("istio-local-outbound-ports-exclude"),
		ExcludeInterfaces: a.interfaces("istio-exclude-interfaces"),
		CaptureLoopback:   namesLoopback(a.values["istio-service-cidr"].text),
	}
	c.ProxyUIDs = a.ids("proxy-uid", defaultProxyUID)
	c.ProxyGIDs = a.ids("proxy-gid", cmp.Or(strings.Join(elements(a.values["proxy-uid"].text), ","), defaultProxyUID))
	return c
}

func (a *arguments) action() Action {
	is := func(long string) bool { return a.isSet(flagByLong(long)) }
	show, version, cleanup, dry := is("help"), is("version"), is("cleanup") || is("cleanup-only"), is("dry-run")
	switch {
	case show:
		return ShowHelp
	case version:
		return ShowVersion
	case cleanup && dry:
		a.problem("--cleanup", "", "together with --dry-run", "give one of them")
	case cleanup:
		return Cleanup
	case dry:
		return Print
	}
	return Apply
}

func (a *arguments) mode() Mode {
	v := a.values["istio-inbound-interception-mode"]
	switch strings.ToUpper(v.text) {
	case "", string(ModeRedirect):
		return ModeRedirect
	case string(ModeNone):
		return ModeNone
	case "TPROXY":
		a.problem(v.source, v.text, "TPROXY is not supported: it is about inbound traffic, which is never captured", "use REDIRECT")
	default:
		a.problem(v.source, v.text, "not a mode", "use REDIRECT or NONE")
	}
	return ModeNone
}

func (a *arguments) port(long string, absent uint16) uint16 {
	v := a.values[long]
	if v.text == "" {
		return absent
	}
	n, err := strconv.ParseUint(v.text, 10, 16)
	if err != nil || n == 0 {
		a.problem(v.source, v.text, "not a port", "use a number from 1 to 65535")
	}
	return uint16(n)
}

// ranges reads an address list; only -i may be a wildcard.
func (a *arguments) ranges(long string, wildcard bool) cidr.List {
	v := a.values[long]
	l, err := cidr.Parse(v.text, cidr.Options{
		AllowWildcard: wildcard,
		WildcardFix:   `to capture everything use -i "*", to capture nothing -m NONE`,
		NameFix:       "names are resolved at admission; create the pod again through the webhook, or write the ranges",
	})
	a.listProblems(v, err)
	return l
}

func (a *arguments) ports(long string) cidr.Ports {
	v := a.values[long]
	p, err := cidr.ParsePorts(v.text, false)
	a.listProblems(v, err)
	return p
}

// listProblems files each bad element under the flag it came from.
func (a *arguments) listProblems(v value, err error) {
	for _, p := range problem.Of(err) {
		element, _ := strconv.Unquote(p.Value) // ArgProblem quotes it
		a.problem(v.source, element, p.Rule, p.Fix)
	}
}

// ids reads user or group ids. The highest 32-bit number means "no id".
func (a *arguments) ids(long, absent string) []uint32 {
	v := a.values[long]
	if len(elements(v.text)) == 0 {
		v = value{text: absent}
	}
	var ids []uint32
	seen := map[uint32]bool{}
	for _, e := range elements(v.text) {
		n, err := strconv.ParseUint(e, 10, 32)
		if err != nil || n == 1<<32-1 {
			if v.given {
				a.problem(v.source, e, "not a numeric id", "use a number from 0 to 4294967294; names are not looked up")
			}
			continue
		}
		if !seen[uint32(n)] {
			ids = append(ids, uint32(n))
			seen[uint32(n)] = true
		}
	}
	return ids
}

// maxInterface is the length of the longest interface name the kernel has.
const maxInterface = 15

func (a *arguments) interfaces(long string) []string {
	v := a.values[long]
	var names []string
	seen := map[string]bool{}
	for _, e := range elements(v.text) {
		switch {
		case e == "+":
			a.problem(v.source, e, "excludes every interface", "use -m NONE to capture nothing")
		case len(strings.TrimSuffix(e, "+")) > maxInterface:
			a.problem(v.source, e, fmt.Sprintf("interface name of more than %d bytes", maxInterface), `write the name as "ip link" shows it`)
		case strings.ContainsAny(e, "/\"*\x00") || strings.ContainsFunc(e, func(r rune) bool { return r < '!' || r > '~' }):
			a.problem(v.source, e, "not an interface name", `write the name as "ip link" shows it; a final + matches any ending`)
		case !seen[e]:
			names = append(names, e)
			seen[e] = true
		}
	}
	return names
}

// namesLoopback reports an element written with a loopback address, the test
// by which istio-iptables opens the loopback interface. It looks at the text:
// a minimal cover may have joined 127.0.0.0/8 with its neighbour.
func namesLoopback(list string) bool {
	for _, e := range elements(list) {
		addr, _, _ := strings.Cut(e, "/")
		if a, err := netip.ParseAddr(addr); err == nil && a.Unmap().IsLoopback() {
			return true
		}
	}
	return false
}

func elements(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
}

// remarks are about valid settings that a person may not have meant.
func remarks(c Config) []Note {
	if c.Action != Apply && c.Action != Print {
		return nil
	}
	var notes []Note
	if c.Mode == ModeNone {
		return append(notes, "mode NONE: no rules, nothing is captured")
	}
	if have, missing, ok := c.Include.MissingFamily(); ok {
		notes = append(notes, Note(fmt.Sprintf("-i has %s ranges only: %s connections bypass the proxy, except to ports in -q", have, missing)))
	}
	switch {
	case c.Include.IsEmpty() && c.IncludePorts.IsEmpty():
		notes = append(notes, "-i and -q are empty: nothing is captured")
	case !c.Include.IsEmpty() && c.IncludePorts.IsEmpty() && c.Exclude.ContainsList(c.Include):
		notes = append(notes, "-x excludes everything that -i includes: nothing is captured")
	}
	for _, id := range c.ProxyUIDs {
		if id == 0 {
			notes = append(notes, "-u has uid 0: connections of containers that run as root bypass the proxy")
		}
	}
	return notes
}

// Help is the text of --help.
func Help() string {
	var b strings.Builder
	b.WriteString("Usage: outrider-init [flags]\n\nPuts the pod's redirect rules into the kernel, verifies and proves them.\n\n")
	for _, f := range flags {
		if f.does == takes {
			letter := "   "
			if f.letter != 0 {
				letter = "-" + string(f.letter) + ","
			}
			fmt.Fprintf(&b, "  %s --%-36s %s\n", letter, f.long, f.help)
			if f.env != "" {
				fmt.Fprintf(&b, "  %44s environment: %s\n", "", f.env)
			}
		}
	}
	b.WriteString("\nWithout effect (inbound traffic is never captured):")
	for _, f := range flags {
		if f.does == inbound {
			b.WriteString(" " + f.name())
		}
	}
	b.WriteString("\nExit: 0 done and proved; 1 the rules could not be put, verified or proved; 2 bad arguments.\n")
	return b.String()
}
