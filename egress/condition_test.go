package egress

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/outrider-mesh/outrider/internal/problem"
)

func TestCondition(t *testing.T) {
	wrong := func(s Severity, rule string) problem.Problem {
		return problem.Problem{Severity: s, Source: "ServiceEntry shop/a", Path: "spec.hosts[0]", Value: `"x"`, Rule: rule, Fix: "fix it"}
	}
	var many Problems
	for i := range 500 {
		many = append(many, wrong(SeverityWarning, fmt.Sprintf("wrong %d", i)))
	}
	for _, tt := range []struct {
		name     string
		problems Problems
		want     Condition // of the message, the beginning and "…" and the end
	}{
		{"nothing", nil, Condition{true, ReasonAccepted, "accepted"}},
		{"a warning", Problems{wrong(SeverityWarning, "ignored")}, Condition{true, ReasonWarnings, `warning: spec.hosts[0]: "x": ignored; fix it`}},
		{"both", Problems{wrong(SeverityWarning, "ignored"), wrong(SeverityError, "wrong"), wrong(SeverityWarning, "ignored too")}, Condition{false, ReasonInvalid,
			`error: spec.hosts[0]: "x": wrong; fix it` + "\n" + `warning: spec.hosts[0]: "x": ignored; fix it` + "\n" + `warning: spec.hosts[0]: "x": ignored too; fix it`}},
		{"an error after many warnings", append(many, wrong(SeverityError, "wrong")), Condition{false, ReasonInvalid, "error: …and 414 more"}},
		{"a long one", Problems{wrong(SeverityWarning, strings.Repeat("ä", 2000))}, Condition{true, ReasonWarnings, "warning: spec.hosts[0]: …ä…"}},
	} {
		got := ConditionOf(tt.problems)
		begin, end, _ := strings.Cut(tt.want.Message, "…")
		if got.Accepted != tt.want.Accepted || got.Reason != tt.want.Reason || !strings.HasPrefix(got.Message, begin) || !strings.HasSuffix(got.Message, end) ||
			end == "" && got.Message != begin || len(got.Message) > maxCondition+50 || !utf8.ValidString(got.Message) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
