package webhook

import (
	"fmt"
	"strconv"
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

// message is a warning with what it is about, which comes first; both may be
// longer than the API server forwards.
type message struct {
	subject string // "ServiceEntry shop/a: "; may be empty
	problem.Problem
}

// messages are the problems as warnings about a subject, the worst first.
func messages(subject string, problems problem.List) []message {
	var out []message
	for _, p := range problems.WorstFirst() {
		out = append(out, message{subject, p})
	}
	return out
}

func (m message) String() string { return m.subject + m.Problem.String() }

// short is the warning in at most maxWarning characters: the value is cut first,
// then the fix and the value are omitted; what is wrong, and where, come last.
func (m message) short() string {
	text := m.String()
	if fits(text) {
		return text
	}
	excess := utf8.RuneCountInString(text) - maxWarning
	if s := m.withShorterValue(excess); fits(s.String()) {
		return s.String()
	}
	m = m.withShorterValue(len(m.Value))
	m.Fix = ""
	if text = m.String(); fits(text) {
		return text
	}
	m.Value = ""
	return clipWarning(m.String(), maxWarning)
}

func fits(s string) bool { return len(s) <= maxWarning || utf8.RuneCountInString(s) <= maxWarning }

// minValue is how much of a value remains, in bytes, so that it can be recognized.
const minValue = 16

// withShorterValue is the message with a value that is shorter by a number of
// characters, where it is a quoted one and long enough.
func (m message) withShorterValue(excess int) message {
	value, err := strconv.Unquote(m.Value)
	if err != nil || len(value) <= minValue {
		return m
	}
	// One more for the ellipsis.
	m.Value = strconv.Quote(problem.Clip(strings.TrimSuffix(value, "…"), max(minValue, len(value)-excess-len("…"))))
	return m
}

// limitWarnings cuts warnings to what the API server forwards and counts those
// that are omitted, the last ones.
func limitWarnings(warnings []message) []string {
	texts := make([]string, len(warnings))
	for i, w := range warnings {
		texts[i] = w.short()
	}
	kept, size := texts, 0
	for i, w := range texts {
		size += utf8.RuneCountInString(w)
		if size > maxWarnings {
			kept = texts[:i]
			break
		}
	}
	if len(kept) == len(texts) {
		return texts
	}
	// The last sentence needs room too.
	for size = total(kept); size > maxWarnings-64; size = total(kept) {
		kept = kept[:len(kept)-1]
	}
	return append(kept, fmt.Sprintf("and %d more warnings; see the Outrider log", len(texts)-len(kept)))
}

func total(warnings []string) int {
	n := 0
	for _, w := range warnings {
		n += utf8.RuneCountInString(w)
	}
	return n
}

// clipWarning cuts s to at most limit characters, the last one being an
// ellipsis, after a word where there is one. The API server counts characters;
// problem.Clip counts bytes and would cut a warning in another script to a third.
func clipWarning(s string, limit int) string {
	if len(s) <= limit || utf8.RuneCountInString(s) <= limit {
		return s
	}
	n := 0
	for i := range s {
		if n == limit-1 {
			s = s[:i]
			break
		}
		n++
	}
	// Not in the second half: that is no sentence.
	if end := strings.LastIndexByte(s, ' '); end > len(s)/2 {
		s = strings.TrimRight(s[:end], " :;,")
	}
	return s + "…"
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
