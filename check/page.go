package check

import (
	"fmt"
	"strings"
)

// Page is the part of docs/checks.md that lists the checks.
func Page() string {
	var b strings.Builder
	group := Group("")
	for _, c := range catalog {
		if c.Group != group {
			group = c.Group
			fmt.Fprintf(&b, "## %s\n\n", group)
		}
		fmt.Fprintf(&b, "### %s\n\n%s.", c.ID, c.Title)
		switch c.When {
		case Before:
			b.WriteString(" Only with `--pre`.")
		case After:
			b.WriteString(" Not with `--pre`.")
		case OfProxy:
			b.WriteString(" Only with `--proxy`.")
		case OfTraffic:
			b.WriteString(" Only with `--traffic`.")
		}
		fmt.Fprintf(&b, "\n\nCause: %s\n\nFix: %s\n\n", c.Cause, c.Fix)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
