package webhook

import (
	"errors"
	"net/http"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// answer is the response to one request, with what is counted and logged of it.
type answer struct {
	response
	result string             // for the metrics and the log: one of the result constants
	http   *httpError         // set where the response is not a review
	err    error              // the cause, for the log, where the response does not have it
	stack  []byte             // of a panic
	all    []message          // the warnings, before they were limited
	object *metav1.ObjectMeta // of the object, for the log; nil where it was not decoded

	resource string // of the request, as it came
}

// about completes an answer with what it takes from its request.
func (a *answer) about(r *request) {
	a.uid, a.resource = r.UID, r.Resource.Resource
	if len(a.all) > 0 {
		a.warnings = limitWarnings(a.all)
	}
}

// failed is the answer to a request that is not a valid review.
func failed(e *httpError) answer {
	return answer{result: resultError, http: e, response: response{reason: e.reason}}
}

// denied rejects the object, with a message for the user.
func denied(result, reason string, code int32, message string) answer {
	return answer{result: result, response: response{reason: reason, status: &status{code, message}}}
}

// ignored allows a request that does not concern the handler.
func ignored(reason string) answer {
	return answer{result: resultIgnored, response: response{allowed: true, reason: reason}}
}

// unweighed allows what is too large to be validated, with a warning.
func unweighed(reason, message string) answer {
	return answer{
		result:   resultError,
		all:      messages("", problem.List{warning("not validated: " + message)}),
		response: response{allowed: true, reason: reason},
	}
}

// unvalidated allows what could not be validated, with a warning.
func unvalidated(string) answer {
	return answer{
		all:      messages("", problem.List{warning("not validated: internal error; see the Outrider log")}),
		response: response{allowed: true},
	}
}

// injected is the answer about a pod: injected, unchanged or skipped.
func injected(result *inject.Result) answer {
	a := answer{
		result:   resultSkipped,
		all:      messages("", result.Warnings),
		object:   result.Metadata,
		response: response{allowed: true, reason: string(result.Decision.Reason)},
	}
	if result.Decision.Inject {
		a.result, a.patch = resultInjected, result.Patch
		if len(result.Patch) == 0 {
			a.result = resultUnchanged
		}
	}
	return a
}

// notInjected denies a pod that cannot be injected.
func notInjected(err error) answer {
	var e *inject.Error
	if !errors.As(err, &e) {
		a := denied(resultError, "internal", http.StatusInternalServerError, problem.Clip(err.Error(), maxMessage))
		a.err = err
		return a
	}
	code := int32(http.StatusUnprocessableEntity)
	if e.Code == inject.RejectedPod {
		code = http.StatusBadRequest
	}
	a := denied(resultDenied, e.Code, code, inline.join(e.Problems))
	a.err = err
	return a
}
