package egress

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCondition(t *testing.T) {
	problem := func(s Severity, rule string) Problem {
		return Problem{Severity: s, Kind: KindServiceEntry, Namespace: "shop", Name: "a", Path: "spec.hosts[0]", Value: "x", Rule: rule, Fix: "mend it"}
	}
	var many Problems
	for i := range 500 {
		many = append(many, problem(SeverityWarning, fmt.Sprintf("wrong %d", i)))
	}
	for _, tt := range []struct {
		name     string
		problems Problems
		want     Condition // of the message, the beginning and "…" and the end
	}{
		{"nothing", nil, Condition{true, ReasonAccepted, "in force"}},
		{"a warning", Problems{problem(SeverityWarning, "odd")}, Condition{true, ReasonWarnings, `warning: spec.hosts[0]: "x": odd; mend it`}},
		{"both", Problems{problem(SeverityWarning, "odd"), problem(SeverityError, "wrong"), problem(SeverityWarning, "odd too")}, Condition{false, ReasonInvalid,
			`error: spec.hosts[0]: "x": wrong; mend it` + "\n" + `warning: spec.hosts[0]: "x": odd; mend it` + "\n" + `warning: spec.hosts[0]: "x": odd too; mend it`}},
		{"an error after many warnings", append(many, problem(SeverityError, "wrong")), Condition{false, ReasonInvalid, "error: …and 416 more"}},
		{"a long one", Problems{problem(SeverityWarning, strings.Repeat("ä", 2000))}, Condition{true, ReasonWarnings, "warning: spec.hosts[0]: …ä…"}},
	} {
		got := tt.problems.Condition()
		begin, end, _ := strings.Cut(tt.want.Message, "…")
		if got.Accepted != tt.want.Accepted || got.Reason != tt.want.Reason || !strings.HasPrefix(got.Message, begin) || !strings.HasSuffix(got.Message, end) ||
			end == "" && got.Message != begin || len(got.Message) > maxCondition+50 || !utf8.ValidString(got.Message) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
