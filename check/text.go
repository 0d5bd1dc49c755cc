package check

import (
	"fmt"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

var marks = map[Status]string{Passed: "✓", Skipped: "-", Warning: "‼", Failed: "✗"}

var colours = map[Status]string{Passed: "\x1b[32m", Skipped: "\x1b[2m", Warning: "\x1b[33m", Failed: "\x1b[31m"}

// Text is the report for people; colour is for terminals.
func (r Report) Text(colour bool) string {
	var b strings.Builder
	group := Group("")
	counts := map[Status]int{}
	for _, f := range r.Results {
		counts[f.Status]++
		if f.Group != group {
			if group != "" {
				b.WriteByte('\n')
			}
			group = f.Group
			fmt.Fprintf(&b, "%s\n", group)
		}
		f.text(&b, colour)
	}
	fmt.Fprintf(&b, "\n%d passed, %d skipped, %d warnings, %d failed\n", counts[Passed], counts[Skipped], counts[Warning], counts[Failed])
	return b.String()
}

func (f Result) text(b *strings.Builder, colour bool) {
	mark := marks[f.Status]
	if colour {
		mark = colours[f.Status] + mark + "\x1b[0m"
	}
	fmt.Fprintf(b, "%s %s: %s\n", mark, f.Check, problem.Printable(f.What))
	for _, d := range f.Details {
		fmt.Fprintf(b, "    %s\n", problem.Printable(d))
	}
	if f.Fix != "" {
		fmt.Fprintf(b, "    fix: %s\n", problem.Printable(f.Fix))
	}
	for _, c := range f.Commands {
		for i, line := range strings.Split(strings.TrimRight(c, "\n"), "\n") {
			prompt := "      $ "
			if i > 0 {
				prompt = "        "
			}
			fmt.Fprintf(b, "%s%s\n", prompt, problem.Printable(line))
		}
	}
	if f.Status == Warning || f.Status == Failed {
		fmt.Fprintf(b, "    see docs/checks.md#%s\n", f.Check)
	}
}
