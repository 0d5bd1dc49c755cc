package redirect

import (
	"fmt"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// value is the value of one flag, and its source.
type value struct {
	text   string
	source string // "-x", "--istio-service-exclude-cidr", "environment variable X"
	given  bool   // set on the command line or by a non-empty environment variable
}

// arguments collects values and problems while arguments are read.
type arguments struct {
	values   map[string]value // by long name
	problems problem.List
}

// invalid adds a problem; where is the flag or environment variable.
func (a *arguments) invalid(where, val, rule, fix string) {
	a.problems.Add(problem.Invalid(where, val, rule, fix))
}

const seeHelp = "see --help"

// read parses the command line as istio-iptables does: "--name value",
// "--name=value", "-n value", "-nvalue", "-n=value", boolean flags with or
// without a value, and several boolean letters in one argument.
func (a *arguments) read(args []string) {
	if len(args) > 0 && (args[0] == "istio-iptables" || args[0] == "outrider-init") {
		args = args[1:]
	}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case strings.HasPrefix(arg, "--") && len(arg) > 2:
			args = a.readLong(arg, args)
		case strings.HasPrefix(arg, "-") && len(arg) > 1 && arg != "--":
			args = a.readLetters(arg, args)
		default:
			a.invalid("argument", arg, "not a flag", "pass each value after its flag; "+seeHelp)
		}
	}
}

func (a *arguments) readLong(arg string, rest []string) []string {
	name, text, hasValue := strings.Cut(arg[2:], "=")
	if strings.HasPrefix(name, logPrefix) {
		if !hasValue && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
			rest = rest[1:]
		}
		return rest
	}
	f := flagByLong(name)
	if f == nil {
		a.problems.Add(problem.Unknown("--"+name, "flag", "").WithFix(seeHelp))
		return rest
	}
	return a.readValue(f, "--"+name, text, hasValue, rest)
}

func (a *arguments) readLetters(arg string, rest []string) []string {
	for letters := arg[1:]; letters != ""; {
		f := flagByLetter(letters[0])
		if f == nil {
			letter := fmt.Sprintf("-%.1s", strings.ToValidUTF8(letters, "?"))
			a.problems.Add(problem.Unknown(letter, "flag", "").WithFix(seeHelp))
			return rest
		}
		letters = letters[1:]
		text, hasValue := strings.CutPrefix(letters, "=")
		switch {
		case hasValue:
			letters = ""
		case !f.isBool && letters != "":
			text, hasValue, letters = letters, true, ""
		}
		rest = a.readValue(f, f.name(), text, hasValue, rest)
	}
	return rest
}

// readValue reads the flag's value from the same or the next argument.
func (a *arguments) readValue(f *flag, source, text string, hasValue bool, rest []string) []string {
	switch {
	case hasValue:
	case f.isBool:
		text = "true"
	case len(rest) == 0:
		a.invalid(source, "", "missing value", `pass one, or "" for an empty one`)
		return rest
	default:
		text, rest = rest[0], rest[1:]
	}
	a.set(f, value{text: text, source: source, given: true})
	return rest
}

// set stores a value. Repeated lists are joined, because one argument may be
// 128 KiB at most and a long list may need several; anything else that is
// specified twice must be the same.
func (a *arguments) set(f *flag, v value) {
	if old, again := a.values[f.long]; again {
		if f.isList {
			v.text = old.text + "," + v.text
		} else if old.text != v.text {
			a.invalid(v.source, v.text, "specified more than once (first: "+problem.Quote(old.text)+")", "specify it once")
		}
	}
	a.values[f.long] = v
}

// fromEnvironment sets the flags that are not on the command line.
func (a *arguments) fromEnvironment(env func(string) string) {
	for i := range flags {
		f := &flags[i]
		if _, given := a.values[f.long]; given || f.env == "" {
			continue
		}
		if text := env(f.env); text != "" {
			a.values[f.long] = value{text: text, source: "environment variable " + f.env, given: true}
		}
	}
}

// isOff reports a boolean false.
func isOff(text string) bool {
	switch strings.ToLower(text) {
	case "false", "f", "0":
		return true
	}
	return false
}

// isSet reads a boolean flag.
func (a *arguments) isSet(f *flag) bool {
	v := a.values[f.long]
	switch text := strings.ToLower(v.text); {
	case text == "" || isOff(text):
		return false
	case text == "true" || text == "t" || text == "1":
		return true
	}
	a.invalid(v.source, v.text, "not a boolean", "use true or false")
	return false
}
