package webhook

import (
	"net/http"
	"slices"
	"time"

	"github.com/tidwall/gjson"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/validate"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

var (
	objectVersions = registration.NetworkingVersions()
	objectKinds    = map[string]string{
		registration.ServiceEntries: egress.KindServiceEntry, registration.VirtualServices: egress.KindVirtualService, registration.Sidecars: egress.KindSidecar,
	}
)

// NewObjectHandler validates ServiceEntries, VirtualServices and Sidecars, for
// ValidatePath: what cannot work is denied, what has no effect gets a warning.
// It fails open: the control plane validates the objects again, by the same
// functions, and ignores what is invalid.
func NewObjectHandler(o Options) http.Handler {
	h := newHandler(o, "validate")
	h.decide, h.panicked = h.validateObject, unvalidated
	h.count, h.extra, h.validation = o.Metrics.validation, h.modelCost, true
	return h
}

// objectCost is what each object takes in the model that an object is validated in.
const objectCost = 16 << 10

// modelCost is the memory of the model of all objects.
func (h *handler) modelCost(weight) int64 {
	if h.Objects == nil {
		return 0
	}
	in, _ := h.Objects()
	return int64(len(in.ServiceEntries)+len(in.VirtualServices)+len(in.Sidecars)) * objectCost
}

func (h *handler) validateObject(r *request) answer {
	kind := objectKinds[r.Resource.Resource]
	if r.Resource.Group != registration.NetworkingGroup || !slices.Contains(objectVersions, r.Resource.Version) || kind == "" {
		return ignored("another_resource")
	}
	if reason := skipReason(r); reason != "" {
		return ignored(reason)
	}
	meta, text := metaOf(r), gjson.GetBytes(r.Object, "spec").Raw
	in, loaded := egress.Input{}, false
	if h.Objects != nil {
		in, loaded = h.Objects()
	}
	problems := validate.Object(kind, meta, []byte(text), in, loaded)
	v := validation{subject: egress.Source(kind, meta), problems: problems.In("")} // the subject names the object
	return v.answer(unchanged(r, "spec"))
}

// metaOf identifies an object. One without a creation time is the youngest.
func metaOf(r *request) egress.Meta {
	metadata := gjson.GetBytes(r.Object, "metadata")
	created, err := time.Parse(time.RFC3339, metadata.Get("creationTimestamp").String())
	if err != nil {
		created = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return egress.Meta{Namespace: r.Namespace, Name: problem.Clip(metadata.Get("name").String(), maxName), Created: created}
}
