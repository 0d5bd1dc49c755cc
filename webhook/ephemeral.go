package webhook

import (
	"net/http"

	"github.com/tidwall/gjson"
)

// NewEphemeralHandler validates the ephemeral containers that are added to running pods,
// for EphemeralPath: one that would bypass the sidecar is denied, one that may get around
// it gets a warning. It fails closed.
func NewEphemeralHandler(o Options) http.Handler {
	h := newHandler(o, "ephemeral")
	h.decide, h.count = h.reviewEphemeral, o.Metrics.validation
	h.panicked = func(string) answer {
		return denied(resultError, "panic", http.StatusInternalServerError, "internal error; see the Outrider log")
	}
	return h
}

func (h *handler) reviewEphemeral(r *request) answer {
	if r.Resource.Group != "" || r.Resource.Resource != "pods" || r.SubResource != "ephemeralcontainers" || !r.hasObject() {
		return ignored("another_resource")
	}
	injector := h.Active()
	if injector == nil {
		return denied(resultError, "not_ready", http.StatusServiceUnavailable, notConfigured)
	}
	var known []string
	for _, name := range gjson.GetBytes(r.body, "request.oldObject.spec.ephemeralContainers.#.name").Array() {
		known = append(known, name.String())
	}
	problems, err := injector.ReviewEphemeral(r.Object, known)
	if err != nil {
		return notInjected(err)
	}
	v := validation{subject: "pod " + metaOf(r).Name, problems: problems}
	return v.answer(false)
}

// NewImageHandler warns about updates of running pods that replace the image of an injected
// container, for ImagePath. It allows everything.
func NewImageHandler(o Options) http.Handler {
	h := newHandler(o, "image")
	h.decide, h.count = h.reviewImages, o.Metrics.validation
	h.panicked = unvalidated
	return h
}

func (h *handler) reviewImages(r *request) answer {
	old := gjson.GetBytes(r.body, "request.oldObject")
	if r.Resource.Group != "" || r.Resource.Resource != "pods" || r.SubResource != "" || r.Operation != "UPDATE" || !r.hasObject() || !old.IsObject() {
		return ignored("another_resource")
	}
	injector := h.Active()
	if injector == nil {
		return ignored("not_ready")
	}
	problems, err := injector.ReviewUpdate([]byte(old.Raw), r.Object)
	if err != nil {
		return ignored("invalid") // the API server validates it
	}
	v := validation{subject: "pod " + metaOf(r).Name, problems: problems}
	return v.answer(false)
}
