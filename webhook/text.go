package webhook

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// What the API server forwards of warnings: once all of them together are
// longer than 4,096 characters it cuts each to 256 and drops the rest without
// notice. The handlers cut first, and count what is omitted. Other webhooks of
// the same request share the 4,096.
const (
	maxWarning  = 256
	maxWarnings = 4096
)

// maxProblem and maxMessage bound, in bytes, the message of a denied request,
// which ends in the events of the pod's owner.
const (
	maxProblem = 1000
	maxMessage = 8000
)

// maxName is the maximum length of a name in Kubernetes.
const maxName = 253

// limitWarnings cuts warnings to what the API server forwards and counts those
// that are omitted. The argument is not changed.
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
		out = append(out, clipWarning(w, maxWarning))
	}
	if left := len(warnings) - len(kept); left > 0 {
		out = append(out, fmt.Sprintf("and %d more warnings; see the Outrider log", left))
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

// clipWarning cuts s to at most limit characters, the last one being an
// ellipsis. The API server counts characters; problem.Clip counts bytes and
// would cut a warning in another script to a third.
func clipWarning(s string, limit int) string {
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

// layout is how several problems become one message: what follows their number,
// and what comes before each and before the number of those omitted.
type layout struct {
	title, omitted string
	item           func(n int) string
}

var (
	// inline is for texts on one line, such as the events of a pod's owner.
	inline = layout{":", " ", func(n int) string { return fmt.Sprintf(" (%d) ", n) }}
	// perLine is for texts that users read in kubectl's output.
	perLine = layout{"", "\n- ", func(int) string { return "\n- " }}
)

// join is the message about all problems, with their number when there is more
// than one.
func (l layout) join(problems problem.List) string {
	if len(problems) == 1 {
		return problem.Clip(problems[0].String(), maxMessage)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d problems%s", len(problems), l.title)
	for i := range problems {
		p := problem.Clip(problems[i].String(), maxProblem)
		if b.Len()+len(p) > maxMessage {
			fmt.Fprintf(&b, "%sand %d more", l.omitted, len(problems)-i)
			break
		}
		b.WriteString(l.item(i+1) + p)
	}
	return b.String()
}
