package webhook

import (
	"sync"

	"github.com/outrider-mesh/outrider/internal/jsontree"

	corev1 "k8s.io/api/core/v1"
)

// podReview is a review but for its object, which is decoded from its tree.
type podReview struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Request    *podRequest `json:"request"`
}

type podRequest struct {
	requestHead

	Object jsontree.Ignored `json:"object"`
}

// The decoders of reviews of pods. Of managedFields, which nothing reads, and which are a
// third of the text, only the kind is checked.
var (
	reviewDecoder = decoderOf[podReview]()
	podDecoder    = decoderOf[corev1.Pod]("metadata", "managedFields")
)

func decoderOf[T any](ignored ...string) *jsontree.Decoder[T] {
	d, err := jsontree.NewDecoder[T](ignored...)
	if err != nil {
		panic(err) // the types are constants
	}
	return d
}

var readers = sync.Pool{New: func() any { return new(jsontree.Reader) }}

// decodePodReview is decodeReview for a review with a pod: the text is read once, into a
// tree, from which the pod is decoded, and which the injection edits. A review that is not
// read in this way is decoded in the other, and so is its object where it is no pod.
func decodePodReview(body []byte) (*request, *httpError) {
	reader := readers.Get().(*jsontree.Reader)
	r, e := readPodReview(reader, string(body))
	if r == nil {
		releaseReader(reader)
	}
	if r == nil && e == nil {
		return decodeReview(body)
	}
	return r, e
}

// readPodReview returns neither a request nor an error for a review that is not read.
func readPodReview(reader *jsontree.Reader, text string) (*request, *httpError) {
	tree, ok := reader.Read(text)
	var rv podReview
	if !ok || !reviewDecoder.Decode(tree, &rv) || rv.Request == nil {
		return nil, nil
	}
	r := &request{requestHead: rv.Request.requestHead, reader: reader}
	switch object := tree.At("request", "object"); {
	case object.Kind() == jsontree.Object:
		r.tree = object
		pod := &corev1.Pod{}
		if podDecoder.Decode(object, pod) {
			r.pod = pod
		}
	case object != nil:
		r.Object = []byte(object.JSON())
	}
	return (&review{rv.APIVersion, rv.Kind, r}).check()
}

// releaseReader ends the use of a tree; reader may be nil.
func releaseReader(reader *jsontree.Reader) {
	if reader != nil {
		reader.Release()
		readers.Put(reader)
	}
}

// release ends the use of the request's tree, and of the patch that was made of it.
func (r *request) release() {
	if r != nil && r.reader != nil {
		releaseReader(r.reader)
		r.reader, r.tree = nil, nil
	}
}
