package egress

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/outrider-mesh/outrider/internal/problem"
)

func TestCondition(t *testing.T) {
	wrong := func(s problem.Severity, rule string) problem.Problem {
		return problem.Problem{Severity: s, Source: "ServiceEntry shop/a", Path: "spec.hosts[0]", Value: `"x"`, Rule: rule, Fix: "fix it"}
	}
	var many problem.List
	for i := range 500 {
		many = append(many, wrong(problem.Warning, fmt.Sprintf("wrong %d", i)))
	}
	for _, tt := range []struct {
		name     string
		problems problem.List
		want     Condition // of the message, the beginning and "…" and the end
	}{
		{"nothing", nil, Condition{true, ReasonAccepted, "accepted"}},
		{"a warning", problem.List{wrong(problem.Warning, "ignored")}, Condition{true, ReasonWarnings, `warning: spec.hosts[0]: "x": ignored; fix it`}},
		{"both", problem.List{wrong(problem.Warning, "ignored"), wrong(problem.Error, "wrong"), wrong(problem.Warning, "ignored too")}, Condition{false, ReasonInvalid,
			`error: spec.hosts[0]: "x": wrong; fix it` + "\n" + `warning: spec.hosts[0]: "x": ignored; fix it` + "\n" + `warning: spec.hosts[0]: "x": ignored too; fix it`}},
		{"an error after many warnings", append(many, wrong(problem.Error, "wrong")), Condition{false, ReasonInvalid, "error: …and 414 more"}},
		{"a long one", problem.List{wrong(problem.Warning, strings.Repeat("ä", 2000))}, Condition{true, ReasonWarnings, "warning: spec.hosts[0]: …ä…"}},
	} {
		got := ConditionOf(tt.problems)
		begin, end, _ := strings.Cut(tt.want.Message, "…")
		if got.Accepted != tt.want.Accepted || got.Reason != tt.want.Reason || !strings.HasPrefix(got.Message, begin) || !strings.HasSuffix(got.Message, end) ||
			end == "" && got.Message != begin || len(got.Message) > maxCondition+50 || !utf8.ValidString(got.Message) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
