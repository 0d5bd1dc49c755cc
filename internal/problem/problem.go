// Package problem is the one form in which Outrider reports what is wrong with
// an input: a ConfigMap, an object, an annotation, a manifest, a flag. A Problem
// names the source, the place in it, the value, the rule and the fix; a List
// holds everything that was found, in a stable order.
//
// The constructors are the only place where a rule that several inputs share is
// worded: a port that is out of range reads the same in a ServiceEntry and in an
// annotation. A caller that has more of the place than the parser that found the
// problem adds it with At, In and Below; nothing parses an error's text.
//
// It is a pure package without dependencies outside the standard library, so
// that the init container can link it.
//
// Files, each using only those before it: problem.go (Problem and how it is
// shown), rules.go (the constructors), list.go.
package problem

import (
	"strconv"
	"strings"
	"unicode"
)

// Severity is an error, which rejects the input or a part of it, or a warning.
type Severity uint8

// The severities.
const (
	Error Severity = iota
	Warning
)

// String is "error" or "warning".
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// Type is the kind of a problem, for callers that treat some kinds differently.
// The zero value is TypeInvalid.
type Type uint8

// The types, after those of Kubernetes' field.ErrorType.
const (
	TypeInvalid      Type = iota // the value breaks a rule of its own
	TypeRequired                 // a value is missing
	TypeDuplicate                // the value occurs more than once
	TypeOutOfRange               // a number, a length or a duration is outside its bounds
	TypeNotSupported             // the value is none of those supported
	TypeUnknown                  // no such field or key
	TypeNoEffect                 // the value is accepted and ignored
	TypeConflict                 // two values cannot be combined
	TypeBypass                   // traffic that should be controlled is not
	TypeRejected                 // valid, and rejected by those that it is for
	TypeOverBudget               // there is more of it than one user may have
	TypeNotFound                 // a reference to an object that does not exist
)

// Problem is one thing wrong with one input.
type Problem struct {
	Severity Severity
	Type     Type
	Source   string // the input: "values.yaml", `ConfigMap istio-system/istio: key "mesh"`, "ServiceEntry default/httpbin"
	Line     int    // in the source, from 1; 0 where the whole source is meant
	Column   int    // in bytes, from 1; 0 when unknown
	Path     string // in the source: "global.proxy.excludeIPRanges", "spec.ports[0].number", "annotation NAME"; may be empty
	Value    string // as it is shown: Quote of a string, a plain number, "null", "list"; empty where there is none
	Rule     string // what is wrong, by which rule
	Fix      string // what to do; may be empty
}

// String is the problem on one line: source, line and column, path, value, rule
// and fix. The place has the form that editors and terminals jump to; without a
// source it is spelled out.
//
//	values.yaml:3:5: global.proxy.statusPort: 70000: must be in the range 0..65535
//	line 3, column 5: global.proxy.statusPort: 70000: must be in the range 0..65535
func (p Problem) String() string {
	place := p.place()
	if place == "" {
		return p.Finding()
	}
	return Printable(place) + ": " + p.Finding()
}

func (p Problem) place() string {
	line, column := strconv.Itoa(p.Line), strconv.Itoa(p.Column)
	switch {
	case p.Line == 0:
		return p.Source
	case p.Source == "" && p.Column == 0:
		return "line " + line
	case p.Source == "":
		return "line " + line + ", column " + column
	case p.Column == 0:
		return p.Source + ":" + line
	}
	return p.Source + ":" + line + ":" + column
}

// Finding is String without the source and line, for output that stands below
// the source's name.
func (p Problem) Finding() string {
	var b strings.Builder
	for _, part := range []string{p.Path, p.Value} {
		if part != "" {
			b.WriteString(part)
			b.WriteString(": ")
		}
	}
	b.WriteString(p.Rule)
	if p.Fix != "" {
		b.WriteString("; ")
		b.WriteString(p.Fix)
	}
	return Printable(b.String())
}

// Error is String: a Problem may be returned as an error.
func (p Problem) Error() string { return p.String() }

// At is the problem at another place of its source, which replaces Path.
func (p Problem) At(path string) Problem {
	p.Path = path
	return p
}

// In is the problem in a source.
func (p Problem) In(source string) Problem {
	p.Source = source
	return p
}

// On is the problem at a line and column of its source.
func (p Problem) On(line, column int) Problem {
	p.Line, p.Column = line, column
	return p
}

// AsWarning is the problem as one that rejects nothing.
func (p Problem) AsWarning() Problem {
	p.Severity = Warning
	return p
}

// WithFix is the problem with another fix, from a caller that has the context.
func (p Problem) WithFix(fix string) Problem {
	p.Fix = fix
	return p
}

// maxShown bounds, in bytes, what a message repeats of a value: a message may
// travel in an admission response, an event or an object's status.
const maxShown = 80

// Quote is s in quotes as Go and JSON write it, clipped to a readable length.
func Quote(s string) string { return strconv.Quote(Clip(s, maxShown)) }

// Short is s clipped to a readable length, without quotes.
func Short(s string) string { return Clip(s, maxShown) }

// Clip is s, or its first limit bytes at most, less a rune that is cut, and an
// ellipsis.
func Clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	cut := limit
	for cut > 0 && s[cut]&0xC0 == 0x80 { // not inside a rune
		cut--
	}
	return s[:cut] + "…"
}

// Printable is s on one line, with each character that a terminal would obey
// replaced by U+FFFD.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
