package egress

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Limits of a regular expression. Envoy rejects one whose program is too large,
// and with it all routes of the port; a class of characters becomes many
// instructions.
const (
	regexLength       = 1024
	regexInstructions = 20_000
	maxRepeat         = 1000 // RE2's, of nested repetitions together
)

// readRegex returns the expression as it is matched: with the whole text. It is
// nil if there is an error.
func readRegex(text, path string, r reporter) *regexp.Regexp {
	const fix = "see https://github.com/google/re2/wiki/Syntax"
	if text == "" {
		r.add(problem.Required(path, "use an expression such as /api/.*"))
		return nil
	}
	if len(text) > regexLength {
		r.add(problem.TooLong(path, text, regexLength).WithFix("use a shorter expression"))
		return nil
	}
	parsed, err := syntax.Parse(bytesAsRunes(text), syntax.Perl)
	if err != nil {
		r.error(path, text, syntaxFault(text, err), fix)
		return nil
	}
	if fault := escapeFault(text); fault != "" {
		r.error(path, text, fault, fix)
		return nil
	}
	if repeatsTooOften(parsed, maxRepeat) {
		r.error(path, text, fmt.Sprintf("nested repetitions exceed %d", maxRepeat), "simplify the expression, or use smaller repetitions")
		return nil
	}
	size := 0
	if program, err := syntax.Compile(parsed.Simplify()); err == nil {
		for _, i := range program.Inst {
			size += 1 + 4*len(i.Rune)
		}
	}
	if size > regexInstructions {
		r.error(path, text, "regex program too large", "simplify the expression, or use smaller repetitions")
		return nil
	}
	if len(text) != utf8.RuneCountInString(text) {
		r.warn(path, text, "Envoy compares bytes, and a character outside ASCII is several bytes", "in a path, match its percent-encoded form; elsewhere, match it as a literal and not in brackets")
	}
	return fullMatch(text)
}

// repeatsTooOften reports whether nested repetitions multiply to more than n. Go
// does not count what is repeated zero times, and RE2 does.
func repeatsTooOften(e *syntax.Regexp, n int) bool {
	if e.Op == syntax.OpRepeat {
		if times := max(e.Min, e.Max); times > 0 {
			n /= times
		}
	}
	return n == 0 || slices.ContainsFunc(e.Sub, func(sub *syntax.Regexp) bool { return repeatsTooOften(sub, n) })
}

// syntaxFault is the error of an expression, in the user's characters if it is one
// for these, too.
func syntaxFault(text string, err error) string {
	if _, own := syntax.Parse(text, syntax.Perl); own != nil {
		return own.Error()
	}
	return err.Error()
}

// fullMatch matches a whole text with a valid expression.
func fullMatch(text string) *regexp.Regexp {
	re, err := regexp.Compile(`\A(?:` + bytesAsRunes(text) + `)\z`)
	if err != nil {
		return nil
	}
	return re
}

// bytesAsRunes is a text as Envoy's expressions see it: they are compiled as
// Latin-1, so that each byte is a character.
func bytesAsRunes(text string) string {
	var b strings.Builder
	for i := range len(text) {
		b.WriteRune(rune(text[i]))
	}
	return b.String()
}

// substitutionFault finds a reference to a group that the pattern does not have.
func substitutionFault(text string, pattern *regexp.Regexp) string {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++
		switch {
		case i == len(text):
			return "must not end with a single backslash"
		case text[i] == '\\':
		case text[i] < '0' || text[i] > '9':
			return "\\ must be followed by a capture group number"
		case pattern != nil && int(text[i]-'0') > pattern.NumSubexp():
			return fmt.Sprintf("match has no capture group %c", text[i])
		}
	}
	return ""
}
