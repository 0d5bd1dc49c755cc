package egress

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// command is one command of a format string, such as %REQ(:METHOD):10%.
type command struct {
	name, argument string
	length         bool // its value has a maximum length
}

// commandPattern is Envoy's own pattern of a command.
var commandPattern = regexp.MustCompile(`^%([A-Z0-9_]+)(?:\((.*?)\))?(?::([0-9]+))?%`)

// maxLengthDigits bounds the length of a command: Envoy rejects those of more than 64
// bits, and no value has as many bytes.
const maxLengthDigits = 9

// commands reads a format string. Envoy rejects a whole listener, or all routes
// of a port, for an invalid one.
func commands(format string) (out []command, fault string) {
	for rest := format; ; {
		i := strings.IndexByte(rest, '%')
		if i < 0 {
			return out, ""
		}
		if rest = rest[i:]; strings.HasPrefix(rest, "%%") {
			rest = rest[2:]
			continue
		}
		m := commandPattern.FindStringSubmatch(rest)
		if m == nil {
			return nil, formFault(rest)
		}
		if len(strings.TrimLeft(m[3], "0")) > maxLengthDigits {
			return nil, fmt.Sprintf("the length of %%%s%% has more than %d digits", m[1], maxLengthDigits)
		}
		out = append(out, command{m[1], m[2], m[3] != ""})
		rest = rest[len(m[0]):]
	}
}

// formFault is what is wrong with a text that begins with % and is not a
// command.
func formFault(text string) string {
	name := strings.TrimLeft(text[1:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
	switch inside, bracket := strings.CutPrefix(name, "("); {
	case len(name) == len(text)-1:
		return "invalid command operator: use a name in capital letters, such as %PROTOCOL%, or %% for a percent sign"
	case bracket && !strings.Contains(inside, ")"):
		return "unterminated command operator: missing )"
	case strings.HasPrefix(name, ":"), strings.Contains(inside, "):"):
		return "invalid command operator: expected a length and % after :"
	}
	return "unterminated command operator: missing %"
}

// commandForm is the form of what may follow the name of a command.
type commandForm struct {
	argument string // a pattern; one that matches an empty text also allows no brackets
	length   bool   // may follow
	example  string // of the argument; empty: it has none
}

// timeFormat is the argument of commands that print a time.
const timeFormat = `.*`

const headerPattern = `:?[!#$%&'*+.^_|~0-9A-Za-z` + "`" + `-]+`

// commandForms are the forms of commandNames. A form that is not here is a fault of this
// package, which its tests find.
var commandForms = map[string]commandForm{
	"none":             {},
	"length":           {length: true},
	"time":             {argument: timeFormat},
	"header":           {argument: headerPattern + `(\?` + headerPattern + `)?`, length: true, example: `X-API`},
	"filter state":     {argument: `[^:]+(:(PLAIN|TYPED|FIELD:.+))?`, length: true, example: `NAME:PLAIN`},
	"name":             {argument: `.+`, length: true, example: `NAME`},
	"metadata":         {argument: `.+`, example: `NAMESPACE:KEY`},
	"kind of metadata": {argument: `(DYNAMIC|CLUSTER|ROUTE|UPSTREAM_HOST|LISTENER|VIRTUAL_HOST|LISTENER_FILTER_CHAIN):.+`, length: true, example: `ROUTE:NAMESPACE:KEY`},
	"path":             {argument: `(WQ|NQ)?(:(ORIG|PATH|ORIG_OR_PATH)?)?`, length: true, example: `NQ:ORIG`},
	"server name":      {argument: `(SNI_ONLY|SNI_FIRST|HOST_FIRST)?(:(ORIG|HOST|ORIG_OR_HOST)?)?`, example: `SNI_FIRST:HOST`},
	"part of XFCC":     {argument: `(?i:by|hash|cert|chain|subject|uri|dns)`, length: true, example: `URI`},
	"points in time":   {argument: `[^:]*:[^:]*(:(ms|us|ns))?`, example: `DS_RX_BEG:US_TX_BEG:us`},
	"expression":       {argument: `.+`, length: true, example: `request.path`},
	"operators":        {argument: `.+`, length: true, example: `{"operators": ["PROTOCOL"]}`},
}

// lackedBy are the other versions of Envoy that do not have a command.
func lackedBy(name string) (versions []string) {
	for _, v := range otherEnvoys {
		if slices.Contains(strings.Fields(v.lacks), name) {
			versions = append(versions, v.version)
		}
	}
	return versions
}

// logFault is why Envoy would reject a format of access logs; empty: it would
// not.
func logFault(format string) string {
	all, fault := commands(format)
	if fault != "" {
		return fault
	}
	for _, c := range all {
		if fault := c.fault(); fault != "" {
			return fault
		}
	}
	return ""
}

// knownCommand is a form with its compiled pattern.
type knownCommand struct {
	commandForm
	pattern *regexp.Regexp
}

var knownCommands = sync.OnceValue(func() map[string]knownCommand {
	out := map[string]knownCommand{}
	for form, names := range commandNames {
		f := commandForms[form]
		pattern := regexp.MustCompile(`^(?:` + f.argument + `)$`)
		for name := range strings.FieldsSeq(names) {
			out[name] = knownCommand{f, pattern}
		}
	}
	return out
})

// newlinePattern is Envoy's own pattern of a line break in the format of a time: %n,
// with flags or a width.
var newlinePattern = regexp.MustCompile(`%[-_0^#]*[1-9]*[EO]?n`)

func (c command) fault() string {
	f, ok := knownCommands()[c.name]
	switch {
	case !ok:
		return "unknown command operator %" + c.name + "%"
	case f.argument == timeFormat && newlinePattern.MatchString(c.argument):
		return "the format of %" + c.name + "% must not contain %n, a line break"
	case !f.pattern.MatchString(c.argument):
		if f.example == "" {
			return "%" + c.name + "% does not accept arguments"
		}
		return fmt.Sprintf("invalid arguments of %%%s()%%: use the form %%%s(%s)%%", c.name, c.name, f.example)
	case c.length && !f.length:
		return "%" + c.name + "% does not accept a length"
	}
	return ""
}
