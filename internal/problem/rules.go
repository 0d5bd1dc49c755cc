package problem

import (
	"fmt"
	"strings"
)

// The constructors take the value as it was written: a string is quoted, and an
// empty one is not shown. Where the value is to be shown in another form, such
// as a number or the word "list", set Value afterwards.

// Invalid is a value that breaks a rule of its own.
func Invalid(path, value, rule, fix string) Problem {
	return Problem{Type: TypeInvalid, Path: path, Value: shown(value), Rule: rule, Fix: fix}
}

// Required is a missing value: "required". fix is what to set; it may be empty.
func Required(path, fix string) Problem {
	return Problem{Type: TypeRequired, Path: path, Rule: "required", Fix: fix}
}

// Duplicate is a value that occurs more than once: "duplicate host". what is the
// kind of value.
func Duplicate(path, value, what string) Problem {
	return Problem{Type: TypeDuplicate, Path: path, Value: shown(value), Rule: strings.TrimSpace("duplicate " + what), Fix: "remove one of the two"}
}

// OutOfRange is a number outside its bounds, in Istio's words: "port number must
// be in the range 1..65535". what is the kind of number; it may be empty.
func OutOfRange[N int | int32 | int64 | uint32](path, value, what string, least, most N) Problem {
	return Problem{
		Type: TypeOutOfRange, Path: path, Value: shown(value),
		Rule: strings.TrimSpace(fmt.Sprintf("%s must be in the range %d..%d", what, least, most)),
	}
}

// Port is a port number outside 1..65535.
func Port(path, value string) Problem { return OutOfRange(path, value, "port number", 1, 65535) }

// Negative is a number below 0.
func Negative(path, value string) Problem {
	return Problem{Type: TypeOutOfRange, Path: path, Value: shown(value), Rule: "must not be negative"}
}

// TooLong is a text of more bytes than its limit.
func TooLong(path, value string, limit int) Problem {
	return Problem{
		Type: TypeOutOfRange, Path: path, Value: shown(value),
		Rule: fmt.Sprintf("%d bytes exceed the maximum length of %d", len(value), limit),
	}
}

// NotSupported is a value that is none of the supported ones.
func NotSupported(path, value string, supported ...string) Problem {
	quoted := make([]string, len(supported))
	for i, s := range supported {
		quoted[i] = Quote(s)
	}
	return Problem{Type: TypeNotSupported, Path: path, Value: shown(value), Rule: "must be one of " + strings.Join(quoted, ", ")}
}

// Unknown is a field or key that does not exist; near is the name that may have
// been meant, or empty. what is "field", "key" or "flag".
func Unknown(path, what, near string) Problem {
	p := Problem{Type: TypeUnknown, Path: path, Rule: "unknown " + what}
	if near != "" {
		p.Fix = "did you mean " + Quote(near) + "?"
	}
	return p
}

// NoEffect is a warning about a value that is ignored: "no effect: why".
func NoEffect(path, value, why, fix string) Problem {
	return Problem{Severity: Warning, Type: TypeNoEffect, Path: path, Value: shown(value), Rule: "no effect: " + why, Fix: fix}
}

// Bypass is a warning about traffic that does not go through the sidecar.
func Bypass(path, value, rule, fix string) Problem {
	return Problem{Severity: Warning, Type: TypeBypass, Path: path, Value: shown(value), Rule: rule, Fix: fix}
}

// OverBudget is more than one user may have: rule has the number and the limit.
func OverBudget(path, rule, fix string) Problem {
	return Problem{Type: TypeOverBudget, Path: path, Rule: rule, Fix: fix}
}

// NotFound is a warning about a reference to an object that does not exist.
func NotFound(path, value, rule, fix string) Problem {
	return Problem{Severity: Warning, Type: TypeNotFound, Path: path, Value: shown(value), Rule: rule, Fix: fix}
}

// Conflict is two values of which only one can be set: "cannot be combined with
// --in-place". with names the other one.
func Conflict(path, value, with, fix string) Problem {
	return Problem{Type: TypeConflict, Path: path, Value: shown(value), Rule: "cannot be combined with " + with, Fix: fix}
}

func shown(value string) string {
	if value == "" {
		return ""
	}
	return Quote(value)
}
