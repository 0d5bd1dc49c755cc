package webhook

import (
	"bytes"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	corev1 "k8s.io/api/core/v1"
)

// podReview is a review whose object is decoded as a pod on the way: its text, which is
// most of a review, is scanned once.
type podReview struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Request    *podRequest `json:"request"`
}

type podRequest struct {
	request

	Object podObject `json:"object"`
}

// podObject is an object with its text.
type podObject struct {
	body []byte // the review
	text []byte // a copy
	pod  corev1.Pod
}

// UnmarshalJSONFrom decodes the object, and finds its text.
func (o *podObject) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	from := dec.InputOffset() // after the name
	if err := jsonv2.UnmarshalDecode(dec, &o.pod); err != nil {
		return err
	}
	o.text = bytes.Clone(bytes.TrimLeft(o.body[from:dec.InputOffset()], " \t\r\n:"))
	return nil
}

// decodePodReview is decodeReview for a review with a pod. One that it does not decode as
// a whole, such as one whose object is not a pod, is decoded without.
func decodePodReview(body []byte) (*request, *httpError) {
	rv := podReview{Request: &podRequest{Object: podObject{body: body}}}
	if jsonv2.Unmarshal(body, &rv) != nil || rv.Request == nil || rv.Request.UID == "" {
		return decodeReview(body) // also where there is no request
	}
	r := &rv.Request.request
	if r.Object = rv.Request.Object.text; r.hasObject() {
		r.pod = &rv.Request.Object.pod
	}
	return (&review{rv.APIVersion, rv.Kind, r}).check()
}
