package webhook

import (
	"encoding/json"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	kjson "sigs.k8s.io/json"

	"github.com/outrider-mesh/outrider/internal/jsontree"
	"github.com/outrider-mesh/outrider/internal/problem"

	corev1 "k8s.io/api/core/v1"
)

// The one kind and version of review that is supported.
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
	requestHead

	// Object is a copy, so the buffer it was decoded from may be used again.
	Object json.RawMessage `json:"object"`

	// pod is the object decoded, and tree its text, where it is a pod and that was done
	// already. Object is not set then.
	pod  *corev1.Pod
	tree *jsontree.Node

	// reader has the memory of tree; may be nil.
	reader *jsontree.Reader

	// body is the review, for what is rarely needed of it.
	body []byte
}

// requestHead is a request without its object.
type requestHead struct {
	UID         string   `json:"uid"`
	Kind        gvk      `json:"kind"`
	Resource    resource `json:"resource"`
	SubResource string   `json:"subResource"`
	Namespace   string   `json:"namespace"`
	Operation   string   `json:"operation"`
	DryRun      bool     `json:"dryRun"`
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

// hasObject reports whether the request has an object: the API server sends
// "object": null where an operation has none.
func (r *request) hasObject() bool {
	return r.tree != nil || len(r.Object) > 0 && r.Object[0] == '{'
}

// text is the JSON of the object.
func (r *request) text() []byte {
	if r.tree != nil {
		return []byte(r.tree.JSON())
	}
	return r.Object
}

// anyNames accepts names that occur twice, as the API server does. The object's are found
// when it is decoded.
var anyNames = jsontext.AllowDuplicateNames(true)

// decodeReview reads a review. Names are case-sensitive, as everywhere in
// Kubernetes.
func decodeReview(body []byte) (*request, *httpError) {
	var rv review
	if jsonv2.Unmarshal(body, &rv, anyNames) == nil {
		return rv.check()
	}
	rv = review{}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(body, &rv); err != nil {
		return nil, badRequest("review_undecodable", fmt.Sprintf("invalid %s JSON: %v", reviewKind, err))
	}
	return rv.check()
}

// check returns the request of a review of the supported version.
func (rv *review) check() (*request, *httpError) {
	if rv.Kind != reviewKind || rv.APIVersion != reviewVersion {
		return nil, badRequest("review_version", fmt.Sprintf(
			"apiVersion %q, kind %q: only %s %s is supported; set admissionReviewVersions: [\"v1\"] in the webhook configuration",
			problem.Clip(rv.APIVersion, 100), problem.Clip(rv.Kind, 100), reviewVersion, reviewKind))
	}
	if rv.Request == nil {
		return nil, badRequest("review_without_request", reviewKind+": request is required")
	}
	if rv.Request.UID == "" {
		return nil, badRequest("review_without_uid", reviewKind+": request.uid is required")
	}
	return rv.Request, nil
}
