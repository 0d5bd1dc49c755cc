package egress

import (
	"fmt"
	"strconv"
	"strings"
)

// regexClasses are the names of \p that both Go and Envoy have. Go accepts more of them,
// such as Letter, and in any case.
var regexClasses = func() map[string]bool {
	all := map[string]bool{}
	for name := range strings.FieldsSeq(regexClassNames) {
		all[name] = true
	}
	return all
}()

// escapeFault finds an escape of a valid Go expression that Envoy rejects.
func escapeFault(text string) string {
	for i := 0; i+1 < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++
		switch rest := text[i+1:]; text[i] {
		case 'Q': // literal text up to \E
			end := strings.Index(rest, `\E`)
			if end < 0 {
				return ""
			}
			i += end + len(`\E`)
		case 'p', 'P':
			if name := className(rest); !regexClasses[name] {
				return fmt.Sprintf("\\%c{%s}: Envoy has no character class of that name", text[i], name)
			}
		case 'x':
			digits, _, braces := strings.Cut(strings.TrimPrefix(rest, "{"), "}")
			if !braces || !strings.HasPrefix(rest, "{") {
				continue // two digits
			}
			if value, err := strconv.ParseUint(digits, 16, 32); err != nil || value > 0xff {
				return fmt.Sprintf("\\x{%s}: Envoy compares bytes, and the value exceeds ff", digits)
			}
		}
	}
	return ""
}

// className is the name of a class after \p: one character, or a name in braces
// that may be negated.
func className(rest string) string {
	if !strings.HasPrefix(rest, "{") {
		return rest[:min(1, len(rest))]
	}
	name, _, _ := strings.Cut(rest[1:], "}")
	return strings.TrimPrefix(name, "^")
}
