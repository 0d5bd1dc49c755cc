package validate

import "github.com/outrider-mesh/outrider/internal/problem"

// Rule is a kind of problem, with a stable identifier.
type Rule struct{ ID, Text string }

// The rules that are found in files only.
const (
	ruleSyntax   = "syntax"
	ruleFile     = "unreadable-file"
	ruleTwice    = "defined-twice"
	ruleNotGiven = "not-in-these-files"
)

// byType are the identifiers of the types of problems.
var byType = map[problem.Type]string{
	problem.TypeInvalid: "invalid", problem.TypeRequired: "required", problem.TypeDuplicate: "duplicate",
	problem.TypeOutOfRange: "out-of-range", problem.TypeNotSupported: "not-supported", problem.TypeUnknown: "unknown-field",
	problem.TypeNoEffect: "no-effect", problem.TypeConflict: "conflict", problem.TypeBypass: "bypass",
	problem.TypeOverBudget: "over-limit", problem.TypeNotFound: ruleNotGiven,
}

// Rules are all rules, in the order of the documentation.
func Rules() []Rule {
	return []Rule{
		{ruleFile, "The file cannot be read."},
		{ruleSyntax, "The document is not valid YAML or JSON, or has a key twice."},
		{ruleTwice, "The files define an object more than once; the last definition applies."},
		{ruleNotGiven, "The value refers to what is in none of the files."},
		{"invalid", "A value breaks a rule of its own."},
		{"required", "A value is missing."},
		{"duplicate", "A value occurs more than once."},
		{"out-of-range", "A number, a length or a duration is outside its bounds."},
		{"not-supported", "A value is none of those that are supported."},
		{"unknown-field", "There is no field or key of that name."},
		{"no-effect", "The value is accepted and ignored."},
		{"conflict", "Two values cannot be combined."},
		{"bypass", "Traffic bypasses the sidecar."},
		{"over-limit", "There is more of it than an object or a namespace may have."},
	}
}
