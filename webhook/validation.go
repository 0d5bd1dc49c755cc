package webhook

import (
	"net/http"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// validation is what was found in an object that is to be stored.
type validation struct {
	subject  string // the object as kubectl users name it: "ServiceEntry shop/a"
	problems problem.List
}

// answer denies an object with errors, as a bad request: of one that is called
// invalid, kubectl edit shows no message. An update that leaves the errors as
// they were is allowed: they become warnings.
func (v validation) answer(unchanged bool) answer {
	a := answer{result: resultClean, response: response{allowed: true, reason: "valid"}}
	errs := v.problems.Errors()
	if len(errs) > 0 && !unchanged {
		a = denied(resultDenied, "invalid", http.StatusBadRequest, v.subject+": "+perLine.join(errs))
		errs = nil
	}
	if len(errs) > 0 {
		a.result, a.reason = resultWarned, "invalid_unchanged"
	}
	warnings := v.problems.Warnings()
	if len(warnings) > 0 && a.result == resultClean {
		a.result = resultWarned
	}
	a.all = append(messages(v.subject+": error (not applied): ", errs), messages(v.subject+": ", warnings)...)
	return a
}

// warning is a validation's finding that is about no part of the object.
func warning(rule string) problem.Problem {
	return problem.Invalid("", "", rule, "").AsWarning()
}
