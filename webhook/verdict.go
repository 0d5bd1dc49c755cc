package webhook

import (
	"fmt"
	"net/http"
	"strings"
)

// verdict is what was found in something that is to be stored.
type verdict struct {
	title            string // what it is about, as kubectl users name it
	errors, warnings []string
}

// outcome refuses what has errors, as a bad request: of one that is called
// invalid, kubectl edit shows no message. An update that leaves them as they were is
// no occasion to: they become warnings.
func (v verdict) outcome(unchanged bool) outcome {
	o := outcome{result: resultClean, response: response{allowed: true, reason: "valid"}}
	if len(v.errors) > 0 && !unchanged {
		o = refused(resultRefused, "invalid", http.StatusBadRequest, v.title+": "+lines(v.errors))
		v.errors = nil
	}
	for _, e := range v.errors {
		o.all = append(o.all, v.title+": error, which leaves it without effect: "+e)
		o.result, o.reason = resultWarned, "invalid_unchanged"
	}
	for _, w := range v.warnings {
		o.all = append(o.all, v.title+": "+w)
		if o.result == resultClean {
			o.result = resultWarned
		}
	}
	return o
}

// lines is the message of a refusal that people read in kubectl's output: one
// problem as it is, several one a line.
func lines(problems []string) string {
	if len(problems) == 1 {
		return clip(problems[0], maxMessage)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d problems", len(problems))
	for i, p := range problems {
		p = clip(p, maxProblem)
		if b.Len()+len(p) > maxMessage {
			fmt.Fprintf(&b, "\n- and %d more", len(problems)-i)
			break
		}
		b.WriteString("\n- " + p)
	}
	return b.String()
}
