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
// name the arguments that are accepted and ignored, and what the lists omit.
// The error is a problem.List of every invalid argument, whose Path is the
// flag or environment variable: first what is not a flag, in the order of the
// command line, then bad values, flag by flag.
func ParseArgs(args []string, env func(string) string) (Config, []Note, error) {
	a := &arguments{values: map[string]value{}}
	a.read(args)
	a.fromEnvironment(env)
	notes := a.validate(env)
	c := a.config()
	if err := a.problems.Err(); err != nil {
		return Config{}, nil, err
	}
	return c, append(notes, remarks(c)...), nil
}

// validate rejects what is not supported and notes what is ignored.
func (a *arguments) validate(env func(string) string) []Note {
	var noInbound, noEffect []string
	for i := range flags {
		f := &flags[i]
		v, given := a.values[f.long]
		if !given || v.text == "" || v.text == f.off || f.does == configures {
			continue
		}
		if f.isBool && !a.isSet(f) {
			continue
		}
		switch f.does {
		case inbound:
			noInbound = append(noInbound, v.source)
		case ignored:
			noEffect = append(noEffect, fmt.Sprintf("%s (%s)", v.source, f.help))
		case rejected:
			a.invalid(v.source, v.text, "not supported: "+f.help, "remove it")
		}
	}
	for _, v := range ignoredVariables {
		if text := env(v.name); text != "" && text != v.off && !isOff(text) {
			noEffect = append(noEffect, fmt.Sprintf("environment variable %s (%s)", v.name, v.why))
		}
	}
	var notes []Note
	if len(noInbound) > 0 {
		notes = append(notes, Note("ignored (inbound capture is not supported): "+strings.Join(noInbound, ", ")))
	}
	if len(noEffect) > 0 {
		notes = append(notes, Note("ignored: "+strings.Join(noEffect, ", ")))
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
		WaitForProxy:      a.isSet(flagByLong("wait-for-proxy")),
	}
	c.ProxyUIDs = a.ids("proxy-uid", defaultProxyUID)
	// An empty -g is no group: a program with the set-group-ID bit gives its group to every
	// container of the pod. Without the flag it is as with istio-iptables.
	if _, given := a.values["proxy-gid"]; !given || !isEmpty(a.values["proxy-gid"].text) {
		c.ProxyGIDs = a.ids("proxy-gid", cmp.Or(strings.Join(elements(a.values["proxy-uid"].text), ","), defaultProxyUID))
	}
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
		a.problems.Add(problem.Conflict("--cleanup", "", "--dry-run", "specify only one"))
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
		a.invalid(v.source, v.text, "not supported: TPROXY is a mode of inbound capture", "use REDIRECT")
	default:
		a.invalid(v.source, v.text, "invalid mode", "use REDIRECT or NONE")
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
		a.problems.Add(problem.Port(v.source, v.text))
	}
	return uint16(n)
}

const wildcardFix = `use -i "*" to capture everything, -m NONE to capture nothing`

// ranges reads an address list; only -i may be a wildcard.
func (a *arguments) ranges(long string, wildcard bool) cidr.List {
	v := a.values[long]
	l, err := cidr.Parse(v.text, cidr.Options{
		AllowWildcard: wildcard,
		WildcardFix:   wildcardFix,
		NameFix:       "names are resolved at admission: recreate the pod through the webhook, or pass the ranges",
	})
	a.problems.Add(problem.Of(err).At(v.source)...)
	return l
}

func (a *arguments) ports(long string) cidr.Ports {
	v := a.values[long]
	ports, err := cidr.ParsePorts(v.text, false)
	for _, p := range problem.Of(err).At(v.source) {
		if v.text == "*" {
			p = p.WithFix(wildcardFix)
		}
		a.problems.Add(p)
	}
	return ports
}

// ids reads user or group IDs. The highest 32-bit number means "no ID".
func isEmpty(list string) bool { return len(elements(list)) == 0 }

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
				a.invalid(v.source, e, "not a numeric ID", "use a number in the range 0..4294967294; names are not resolved")
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

// maxInterface is the length of the longest interface name in Linux.
const maxInterface = 15

func (a *arguments) interfaces(long string) []string {
	v := a.values[long]
	var names []string
	seen := map[string]bool{}
	for _, e := range elements(v.text) {
		switch {
		case e == "+":
			a.invalid(v.source, e, "excludes every interface", "use -m NONE to capture nothing")
		case len(strings.TrimSuffix(e, "+")) > maxInterface:
			tooLong := problem.TooLong(v.source, strings.TrimSuffix(e, "+"), maxInterface)
			a.problems.Add(tooLong.WithFix(`use the name that "ip link" shows`))
		case strings.ContainsAny(e, "/\"*\x00") || strings.ContainsFunc(e, func(r rune) bool { return r < '!' || r > '~' }):
			a.invalid(v.source, e, "invalid interface name", `use the name that "ip link" shows; a final + matches any suffix`)
		case !seen[e]:
			names = append(names, e)
			seen[e] = true
		}
	}
	return names
}

// namesLoopback reports an element written with a loopback address, on which
// istio-iptables captures the loopback interface, too. It looks at the text: a
// minimal cover may have joined 127.0.0.0/8 with its neighbour.
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

// remarks are about valid settings that may be unintended.
func remarks(c Config) []Note {
	if c.Action != Apply && c.Action != Print {
		return nil
	}
	var notes []Note
	if c.Mode == ModeNone {
		return append(notes, "mode NONE: no rules are installed, nothing is captured")
	}
	if have, missing, ok := c.Include.MissingFamily(); ok {
		notes = append(notes, Note(fmt.Sprintf("-i has %s ranges only: %s connections bypass the proxy, except to ports in -q", have, missing)))
	}
	notes = append(notes, uncaptured(c.capture())...)
	for _, id := range c.ProxyUIDs {
		if id == 0 {
			notes = append(notes, "-u has uid 0: connections of containers that run as root bypass the proxy")
		}
	}
	return notes
}

// uncaptured is about what is included by no list, or by one and excluded by
// another.
func uncaptured(c cidr.Capture) []Note {
	var included, captured []cidr.Family
	var notes []Note
	for _, f := range []cidr.Family{cidr.IPv4, cidr.IPv6} {
		switch {
		case !c.Includes(f):
			continue
		case c.Captures(f):
			captured = append(captured, f)
		default:
			notes = append(notes, Note(fmt.Sprintf("-x excludes every included %s address: no %s connection is captured", f, f)))
		}
		included = append(included, f)
	}
	switch {
	case len(included) == 0:
		return []Note{"-i and -q are empty: nothing is captured"}
	case len(captured) > 0:
		return notes
	case c.IncludedPorts().IsEmpty() && !c.IncludePorts.IsEmpty():
		return []Note{"-x and -o exclude everything that -i and -q include: nothing is captured"}
	}
	return []Note{"-x excludes everything that -i includes: nothing is captured"}
}

// Help is the text of --help.
func Help() string {
	var b strings.Builder
	b.WriteString("Usage: outrider-init [flags]\n\nInstalls and verifies the pod's nftables redirect rules.\n\n")
	for _, f := range flags {
		if f.does == configures {
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
	b.WriteString("\nIgnored (inbound capture is not supported):")
	for _, f := range flags {
		if f.does == inbound {
			b.WriteString(" " + f.name())
		}
	}
	b.WriteString("\nIgnored environment variables of istio-iptables:")
	for _, v := range ignoredVariables {
		b.WriteString(" " + v.name)
	}
	b.WriteString("\nExit code: 0 success; 1 rules could not be installed or verified; 2 invalid arguments.\n")
	return b.String()
}
