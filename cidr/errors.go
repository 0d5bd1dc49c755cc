package cidr

import (
	"fmt"
	"strings"
)

// Error is a list that was refused, with every bad element.
type Error struct {
	Value    string    // the whole value as given
	Problems []Problem // in input order, at least one
}

// Problem is one bad element.
type Problem struct {
	Element string // as written
	Index   int    // position among the non-empty elements, from 0
	Rule    string // what is wrong: `leading zero in prefix length "/08"`
	Fix     string // what to write: `write 10.0.0.0/8`
}

// The rules about what the caller did not allow. A caller knows the place and
// can give a better Fix.
const (
	RuleName     = "a name, which is not allowed here"
	RuleWildcard = `"*" is not allowed here`
)

// maxShown bounds a message: it may travel in an admission response.
const maxShown = 10

// Error names each bad element with its rule and fix; after ten it counts.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "invalid list %q: ", clip(e.Value))
	for i, p := range e.Problems {
		if i == maxShown {
			fmt.Fprintf(&b, "; and %d more", len(e.Problems)-maxShown)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(p.String())
	}
	return b.String()
}

func (p Problem) String() string {
	return fmt.Sprintf("element %d %q: %s: %s", p.Index+1, clip(p.Element), p.Rule, p.Fix)
}

// clip shortens text that is only quoted back to its writer.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
