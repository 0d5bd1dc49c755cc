package webhook

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/segmentio/asm/base64"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/inject"
)

// response is what goes into an AdmissionResponse.
type response struct {
	uid      string
	allowed  bool
	status   *status // set where the request is denied
	patch    []inject.Operation
	warnings []string
	// The audit annotations, in the order of their names; the API server puts
	// the webhook's name before each. Empty ones are omitted.
	config string
	reason string
}

// status is the part of metav1.Status that a denied request gets.
type status struct {
	code    int32
	message string
}

// reasonOf is the reason that the API server's clients expect with a code.
func reasonOf(code int32) metav1.StatusReason {
	switch code {
	case http.StatusBadRequest:
		return metav1.StatusReasonBadRequest
	case http.StatusRequestEntityTooLarge:
		return metav1.StatusReasonRequestEntityTooLarge
	case http.StatusUnprocessableEntity:
		return metav1.StatusReasonInvalid
	case http.StatusServiceUnavailable:
		return metav1.StatusReasonServiceUnavailable
	default:
		return metav1.StatusReasonInternalError
	}
}

// append writes the v1 AdmissionReview, byte for byte what encoding/json makes
// of the API's own type (a test compares them). It is encoded by hand
// because the patch is most of it, and goes from operations to base64 here
// without being copied into values on the way. scratch is room for the patch.
func (r *response) append(dst []byte, scratch *[]byte) []byte {
	dst = append(dst, `{"kind":"`+reviewKind+`","apiVersion":"`+reviewVersion+`","response":{"uid":`...)
	dst = appendString(dst, r.uid)
	dst = append(dst, `,"allowed":`...)
	dst = strconv.AppendBool(dst, r.allowed)
	if r.status != nil {
		dst = r.status.append(dst)
	}
	if len(r.patch) > 0 {
		*scratch = inject.AppendPatch((*scratch)[:0], r.patch)
		dst = append(dst, `,"patch":"`...)
		dst = appendBase64(dst, *scratch)
		dst = append(dst, `","patchType":"JSONPatch"`...)
	}
	dst = r.appendAudit(dst)
	for i, w := range r.warnings {
		if i == 0 {
			dst = append(dst, `,"warnings":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = appendString(dst, w)
	}
	if len(r.warnings) > 0 {
		dst = append(dst, ']')
	}
	return append(dst, "}}"...)
}

// appendBase64 appends src in the standard encoding, by the vector instructions of the
// processor: encoding/base64 took a sixteenth of an admission.
func appendBase64(dst, src []byte) []byte {
	n := base64.StdEncoding.EncodedLen(len(src))
	dst = slices.Grow(dst, n)
	base64.StdEncoding.Encode(dst[len(dst):len(dst)+n], src)
	return dst[:len(dst)+n]
}

func (r *response) appendAudit(dst []byte) []byte {
	if r.config == "" && r.reason == "" {
		return dst
	}
	dst = append(dst, `,"auditAnnotations":{`...)
	if r.config != "" {
		dst = append(dst, `"config":`...)
		dst = appendString(dst, r.config)
	}
	if r.reason != "" {
		if r.config != "" {
			dst = append(dst, ',')
		}
		dst = append(dst, `"reason":`...)
		dst = appendString(dst, r.reason)
	}
	return append(dst, '}')
}

func (s *status) append(dst []byte) []byte {
	dst = append(dst, `,"status":{"metadata":{},"status":"Failure"`...)
	if s.message != "" {
		dst = append(dst, `,"message":`...)
		dst = appendString(dst, s.message)
	}
	dst = append(dst, `,"reason":`...)
	dst = appendString(dst, string(reasonOf(s.code)))
	dst = append(dst, `,"code":`...)
	dst = strconv.AppendInt(dst, int64(s.code), 10)
	return append(dst, '}')
}

// appendString appends s as a JSON string: as it is where nothing needs an
// escape, through encoding/json otherwise.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(s)
			if err != nil { // a string always has an encoding
				panic(err)
			}
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
