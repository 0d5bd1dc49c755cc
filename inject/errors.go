package inject

import (
	"encoding/json"
	"errors"
	"reflect"

	jsonv2 "github.com/go-json-experiment/json"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/internal/jsontree"
	"github.com/outrider-mesh/outrider/internal/problem"

	kjson "sigs.k8s.io/json"
)

// The codes of a rejection: metric labels and log fields beside the Reasons.
const (
	RejectedPod        = "invalid_pod"        // the bytes are not a pod
	RejectedAnnotation = "invalid_annotation" // annotations or labels with invalid values
	RejectedTemplate   = "template_failed"    // a template did not render, or not to an overlay
	RejectedUnknown    = "unknown_template"   // inject.istio.io/templates has an unknown name
	RejectedMerge      = "merge_failed"       // the overlay and the pod contradict each other
)

// Error rejects a pod, with all problems in a stable order.
type Error struct {
	Code     string
	Problems problem.List
	// Places are the keys and indexes from the object to the value of each problem; nil
	// where they are unknown.
	Places [][]string
}

// Error joins the problems.
func (e *Error) Error() string { return strings.Join(e.Problems.Strings(), "; ") }

func reject(code string, problems ...problem.Problem) *Error {
	return &Error{Code: code, Problems: problems}
}

// ProblemsOf are the problems of an error of this package.
func ProblemsOf(err error) problem.List {
	var e *Error
	if errors.As(err, &e) {
		return e.Problems
	}
	return problem.Of(err)
}

// decodeProblem is the problem of an object that is not of its kind, such as "v1 Pod".
func decodeProblem(kind string, err error) problem.Problem {
	return problem.Invalid("", "", "not a valid "+kind+": "+strings.TrimPrefix(err.Error(), "json: "), "")
}

// rejectTypes rejects an object for all its values of the wrong type, or else for the
// decoder's error.
func rejectTypes(text []byte, t reflect.Type, kind, resource string, err error) *Error {
	var faults []typeFault
	if json.Valid(text) {
		faults = typeFaults(jsontree.Parse(string(text)), t, kind, resource)
	}
	if len(faults) == 0 {
		return reject(RejectedPod, decodeProblem(kind, err))
	}
	return rejectFaults(faults)
}

func rejectFaults(faults []typeFault) *Error {
	e := &Error{Code: RejectedPod}
	for _, f := range faults {
		e.Problems.Add(f.problem)
		e.Places = append(e.Places, f.place)
	}
	return e
}

func (r *Request) decoded() (*corev1.Pod, error) {
	if r.Decoded != nil {
		return r.Decoded, nil
	}
	return decodePod(r.Pod)
}

func (r *Request) tree() *jsontree.Node {
	if r.Tree != nil {
		return r.Tree
	}
	return jsontree.Parse(string(r.Pod))
}

func decodePod(text []byte) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	if jsonv2.Unmarshal(text, pod) == nil {
		return pod, nil
	}
	// What it rejects, such as a name that occurs twice, and the words of the error are
	// decided as by the API server.
	pod = &corev1.Pod{}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(text, pod); err != nil {
		return nil, rejectTypes(text, reflect.TypeFor[corev1.Pod](), "v1 Pod", "pod", err)
	}
	return pod, nil
}
