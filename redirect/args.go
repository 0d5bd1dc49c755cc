package redirect

import (
	"fmt"
	"strings"
)

// value is what one flag was given, and where.
type value struct {
	text   string
	source string // "-x", "--istio-service-exclude-cidr", "environment variable X"
	given  bool   // on the command line or by a non-empty environment variable
}

// arguments collects values and problems while arguments are read.
type arguments struct {
	values   map[string]value // by long name
	problems []ArgProblem
}

// ArgProblem is one argument that was refused.
type ArgProblem struct {
	Where string // the flag or environment variable
	Value string // what was given; may be empty
	Rule  string // what is wrong
	Fix   string // what to write instead
}

func (p ArgProblem) String() string {
	where := p.Where
	if p.Value != "" {
		where += fmt.Sprintf(" %q", clip(p.Value))
	}
	return where + ": " + p.Rule + ": " + p.Fix
}

// ArgsError holds every refused argument: first what is no flag, in the order
// given, then bad values, flag by flag.
type ArgsError struct{ Problems []ArgProblem }

// Error is one problem a line; after twenty it counts.
func (e *ArgsError) Error() string {
	const most = 20
	var b strings.Builder
	b.WriteString("invalid arguments:")
	for i, p := range e.Problems {
		if i == most {
			fmt.Fprintf(&b, "\n  and %d more", len(e.Problems)-most)
			break
		}
		b.WriteString("\n  " + p.String())
	}
	return b.String()
}

func (a *arguments) problem(where, val, rule, fix string) {
	a.problems = append(a.problems, ArgProblem{Where: where, Value: val, Rule: rule, Fix: fix})
}

const seeHelp = "see --help for the arguments there are"

// read takes the command line apart as istio-iptables does: "--name value",
// "--name=value", "-n value", "-nvalue", "-n=value", switches with or without
// a value, and letters of switches run together.
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
			a.problem("argument", arg, "not a flag", "every value follows its flag; "+seeHelp)
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
		a.problem("--"+name, "", "unknown flag", seeHelp)
		return rest
	}
	return a.readValue(f, "--"+name, text, hasValue, rest)
}

func (a *arguments) readLetters(arg string, rest []string) []string {
	for letters := arg[1:]; letters != ""; {
		f := flagByLetter(letters[0])
		if f == nil {
			a.problem(fmt.Sprintf("-%.1s", strings.ToValidUTF8(letters, "?")), "", "unknown flag", seeHelp)
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

// readValue takes the flag's value from the same or the next argument.
func (a *arguments) readValue(f *flag, source, text string, hasValue bool, rest []string) []string {
	switch {
	case hasValue:
	case f.isBool:
		text = "true"
	case len(rest) == 0:
		a.problem(source, "", "no value after the flag", `give one, or "" for an empty one`)
		return rest
	default:
		text, rest = rest[0], rest[1:]
	}
	a.set(f, value{text: text, source: source, given: true})
	return rest
}

// set stores a value. Repeated lists are joined, because one argument may be
// 128 KiB at most and a long list may need several; anything else that is
// given twice must be the same.
func (a *arguments) set(f *flag, v value) {
	if old, again := a.values[f.long]; again {
		if f.isList {
			v.text = old.text + "," + v.text
		} else if old.text != v.text {
			a.problem(v.source, v.text, fmt.Sprintf("given twice, first with %q", clip(old.text)), "give it once")
		}
	}
	a.values[f.long] = v
}

// fromEnvironment fills in flags that the command line has not.
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

// isSet reads a switch.
func (a *arguments) isSet(f *flag) bool {
	v := a.values[f.long]
	switch strings.ToLower(v.text) {
	case "", "false", "f", "0":
		return false
	case "true", "t", "1":
		return true
	}
	a.problem(v.source, v.text, "not a yes or no", "write true or false")
	return false
}

// clip shortens a value that is only quoted back to its writer.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
