package inject

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"

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
}

// Error joins the problems.
func (e *Error) Error() string { return strings.Join(e.Problems.Strings(), "; ") }

func reject(code string, problems ...problem.Problem) *Error {
	return &Error{Code: code, Problems: problems}
}

func problemsOf(err error) problem.List {
	var e *Error
	if errors.As(err, &e) {
		return e.Problems
	}
	return problem.Of(err)
}

// typeFault matches the decoder's error for a value of the wrong type; its error
// type is not exported.
var typeFault = regexp.MustCompile(`cannot unmarshal (\w+)(?: \S+)? into Go struct field [^.]+\.(\S+) of type (\S+)$`)

// decodeProblem describes an object that is not of its kind, such as "v1 Pod", in
// terms of the object; resource is its name for kubectl explain.
func decodeProblem(kind, resource string, err error) problem.Problem {
	m := typeFault.FindStringSubmatch(err.Error())
	if m == nil {
		return problem.Invalid("", "", "not a valid "+kind+": "+strings.TrimPrefix(err.Error(), "json: "), "")
	}
	got, path, want := m[1], m[2], wordOf(m[3])
	fix := "see kubectl explain " + resource + "." + path
	switch {
	case want == "a string" && (got == "bool" || got == "number"):
		fix = "put it in quotes"
	case (want == "a number" || want == "a boolean") && got == "string":
		fix = "remove the quotes"
	}
	return problem.Invalid(path, "", fmt.Sprintf("not a valid %s: expected %s, got %s", kind, want, articles[got]), fix)
}

var articles = map[string]string{
	"bool": "a boolean", "number": "a number", "string": "a string", "array": "a list", "object": "an object", "null": "null",
}

// wordOf describes a Go type of the API.
func wordOf(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case goType == "bool":
		return "a boolean"
	case strings.HasPrefix(goType, "int"), strings.HasPrefix(goType, "uint"), strings.HasPrefix(goType, "float"):
		return "a number"
	case strings.HasPrefix(goType, "map["):
		return "an object"
	case goType == "string", stringTypes.MatchString(goType):
		return "a string"
	}
	return "an object"
}

// stringTypes are the API's named strings.
var stringTypes = regexp.MustCompile(`^(v1|types)\.\w*(Policy|Mode|Type|Name|Protocol|Scheme|UID|Operator|Effect|Operation|Medium|Action)$`)

func decodePod(text []byte) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(text, pod); err != nil {
		return nil, reject(RejectedPod, decodeProblem("v1 Pod", "pod", err))
	}
	return pod, nil
}
