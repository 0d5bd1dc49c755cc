package webhook

import (
	"encoding/json"
	"fmt"
	"net/http"

	kjson "sigs.k8s.io/json"
)

// The review this package speaks, and no other.
const (
	reviewKind    = "AdmissionReview"
	reviewVersion = "admission.k8s.io/v1"
)

// review is the part of admission.k8s.io/v1 AdmissionReview that is used here.
// Skipping the rest instead of decoding it saves a third of the time.
type review struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Request    *request `json:"request"`
}

// request is the part of AdmissionRequest that is used here.
type request struct {
	UID         string   `json:"uid"`
	Kind        gvk      `json:"kind"`
	Resource    resource `json:"resource"`
	SubResource string   `json:"subResource"`
	Namespace   string   `json:"namespace"`
	Operation   string   `json:"operation"`
	DryRun      bool     `json:"dryRun"`
	// Object is a copy, so the buffer it was decoded from may be used again.
	Object json.RawMessage `json:"object"`

	// body is the review, for what is rarely asked of it.
	body []byte
}

type gvk struct {
	Group   string `json:"group"`
	Version string `json:"version"`
	Kind    string `json:"kind"`
}

type resource struct {
	Group    string `json:"group"`
	Version  string `json:"version"`
	Resource string `json:"resource"`
}

func (k gvk) String() string {
	version := k.Version
	if k.Group != "" {
		version = k.Group + "/" + k.Version
	}
	return version + " " + k.Kind
}

// hasObject reports whether there is anything to look at: the API server sends
// "object": null where an operation has none.
func (r *request) hasObject() bool { return len(r.Object) > 0 && r.Object[0] == '{' }

// decodeReview reads a review. Names are case-sensitive, as everywhere in
// Kubernetes. It refuses with a reason what is no v1 review of a request.
func decodeReview(body []byte) (*request, *httpError) {
	var rv review
	if err := kjson.UnmarshalCaseSensitivePreserveInts(body, &rv); err != nil {
		return nil, badRequest("review_undecodable", fmt.Sprintf("the body is no JSON %s: %v", reviewKind, err))
	}
	if rv.Kind != reviewKind || rv.APIVersion != reviewVersion {
		return nil, badRequest("review_version", fmt.Sprintf(
			"the body is apiVersion %q, kind %q; this webhook speaks %s %s only: register it with admissionReviewVersions: [\"v1\"]",
			clip(rv.APIVersion, 100), clip(rv.Kind, 100), reviewVersion, reviewKind))
	}
	if rv.Request == nil {
		return nil, badRequest("review_without_request", "the "+reviewKind+" has no request; there is nothing to admit")
	}
	if rv.Request.UID == "" {
		return nil, badRequest("review_without_uid", "the "+reviewKind+"'s request has no uid; an answer could not say what it answers")
	}
	return rv.Request, nil
}

// httpError is an answer below the level of reviews: a status and a text. The
// API server shows the text to the user behind "failed calling webhook".
type httpError struct {
	status int
	reason string // the metric's and the log's code
	text   string
}

func badRequest(reason, text string) *httpError {
	return &httpError{http.StatusBadRequest, reason, text}
}
