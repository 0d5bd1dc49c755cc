package inject

import (
	"fmt"
	"regexp"
	"strings"
)

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

// typeFault is how the decoder words a value of the wrong type; its error type
// cannot be reached.
var typeFault = regexp.MustCompile(`cannot unmarshal (\w+)(?: \S+)? into Go struct field [^.]+\.(\S+) of type (\S+)$`)

func noPod(err error) string { return "pod: the object is no v1 Pod: " + decodeFault("pod", err) }

// decodeFault says what is wrong with an object in words of the object; fields
// are those of kind, such as "pod".
func decodeFault(kind string, err error) string {
	m := typeFault.FindStringSubmatch(err.Error())
	if m == nil {
		return strings.TrimPrefix(err.Error(), "json: ")
	}
	got, path, want := m[1], m[2], wordOf(m[3])
	fix := "kubectl explain " + kind + "." + path + " shows its form"
	switch {
	case want == "a string" && (got == "bool" || got == "number"):
		fix = "put it in quotes"
	case (want == "a number" || want == "true or false") && got == "string":
		fix = "write it without quotes"
	}
	return fmt.Sprintf("%s: %s where %s belongs; %s", path, articles[got], want, fix)
}

var articles = map[string]string{
	"bool": "true or false", "number": "a number", "string": "a string", "array": "a list", "object": "a mapping", "null": "null",
}

// wordOf is a Go type of the API in words.
func wordOf(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case goType == "bool":
		return "true or false"
	case strings.HasPrefix(goType, "int"), strings.HasPrefix(goType, "uint"), strings.HasPrefix(goType, "float"):
		return "a number"
	case strings.HasPrefix(goType, "map["):
		return "a mapping"
	case goType == "string", stringTypes.MatchString(goType):
		return "a string"
	}
	return "a mapping"
}

// stringTypes are the API's named strings.
var stringTypes = regexp.MustCompile(`^(v1|types)\.\w*(Policy|Mode|Type|Name|Protocol|Scheme|UID|Operator|Effect|Operation|Medium|Action)$`)
