package inject

import "strings"

// The codes of a refusal: metric labels and log fields beside the Reasons.
const (
	RefusedPod        = "invalid_pod"        // the bytes are no pod
	RefusedAnnotation = "invalid_annotation" // annotations or labels with bad values
	RefusedTemplate   = "template_failed"    // a template did not render, or rendered no overlay
	RefusedUnknown    = "unknown_template"   // inject.istio.io/templates names no template
	RefusedMerge      = "merge_failed"       // the overlay and the pod contradict each other
)

// Error refuses a pod. It holds every problem at once, in a stable order, each
// a whole sentence that names place, value, rule and fix.
type Error struct {
	Code     string
	Problems []string
}

// Error joins the problems; the first line names how many there are.
func (e *Error) Error() string { return strings.Join(e.Problems, "; ") }

func refuse(code string, problems ...string) *Error {
	return &Error{Code: code, Problems: problems}
}
