package webhook

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// What the API server passes on of warnings: once all of them together are
// longer than 4,096 characters it cuts each to 256 and drops what is still too
// much, without a word. We cut first, and say so. Other webhooks of the same
// request share the 4,096.
const (
	maxWarning  = 256
	maxWarnings = 4096
	// maxProblem and maxMessage bound a refusal's text, which ends in the events
	// of the pod's owner.
	maxProblem = 1000
	maxMessage = 8000
)

// limitWarnings cuts warnings to what the API server passes on and says how
// many were left out. The argument is not changed.
func limitWarnings(warnings []string) []string {
	kept, size := warnings, 0
	for i, w := range warnings {
		size += min(utf8.RuneCountInString(w), maxWarning)
		if size > maxWarnings {
			kept = warnings[:i]
			break
		}
	}
	if len(kept) < len(warnings) {
		// The last sentence needs room too.
		for size = total(kept); size > maxWarnings-64; size = total(kept) {
			kept = kept[:len(kept)-1]
		}
	}
	out := make([]string, 0, len(kept)+1)
	for _, w := range kept {
		out = append(out, clip(w, maxWarning))
	}
	if left := len(warnings) - len(kept); left > 0 {
		out = append(out, fmt.Sprintf("and %d more warnings; the webhook's log has all of them", left))
	}
	return out
}

func total(warnings []string) int {
	n := 0
	for _, w := range warnings {
		n += min(utf8.RuneCountInString(w), maxWarning)
	}
	return n
}

// refusalText is the message of a refusal: all problems, numbered when there is
// more than one.
func refusalText(problems []string) string {
	if len(problems) == 1 {
		return clip(problems[0], maxMessage)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d problems:", len(problems))
	for i, p := range problems {
		p = clip(p, maxProblem)
		if b.Len()+len(p) > maxMessage {
			fmt.Fprintf(&b, " and %d more", len(problems)-i)
			break
		}
		fmt.Fprintf(&b, " (%d) %s", i+1, p)
	}
	return b.String()
}

// clip cuts s to at most limit characters, the last one being an ellipsis.
func clip(s string, limit int) string {
	if len(s) <= limit || utf8.RuneCountInString(s) <= limit {
		return s
	}
	n := 0
	for i := range s {
		if n == limit-1 {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
