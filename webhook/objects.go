package webhook

import (
	"net/http"
	"slices"
	"time"

	"github.com/tidwall/gjson"
	"google.golang.org/protobuf/proto"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

var objectVersions = registration.NetworkingVersions()

// NewObjectHandler is the door that judges ServiceEntries and VirtualServices,
// for ValidatePath. What cannot work is refused, what has no effect is a
// warning. It fails open: whatever reads the objects judges them again, by the
// same functions, and leaves out what is wrong.
func NewObjectHandler(o Options) http.Handler {
	d := newDoor(o, "validate")
	d.judge, d.failed = d.judgeObject, unjudged
	d.count = o.Metrics.validation
	return d
}

// unjudged lets pass what this program failed to judge, and says so.
func unjudged(string) outcome {
	return outcome{all: []string{"not checked: internal error; the log of Outrider has the details"}, response: response{allowed: true}}
}

func (d *door) judgeObject(r *request) outcome {
	if r.Resource.Group != registration.NetworkingGroup || !slices.Contains(objectVersions, r.Resource.Version) ||
		r.Resource.Resource != registration.ServiceEntries && r.Resource.Resource != registration.VirtualServices {
		return ignored("another_resource")
	}
	if reason := unconcerned(r); reason != "" {
		return ignored(reason)
	}
	kind := egress.KindServiceEntry
	if r.Resource.Resource == registration.VirtualServices {
		kind = egress.KindVirtualService
	}
	meta := metaOf(r)
	spec, faults := egress.Decode(kind, meta, []byte(gjson.GetBytes(r.Object, "spec").Raw))
	v := verdict{title: kind + " " + meta.Namespace + "/" + meta.Name}
	for _, p := range append(faults, d.problems(kind, meta, spec)...) {
		if p.Severity == egress.SeverityError {
			v.errors = append(v.errors, p.Finding())
		} else {
			v.warnings = append(v.warnings, p.Finding())
		}
	}
	return v.outcome(unchanged(r, "spec"))
}

// problems are the object's own among all objects, where those are known, or
// what it has alone.
func (d *door) problems(kind string, meta egress.Meta, spec proto.Message) egress.Problems {
	if spec == nil {
		return nil
	}
	var alone egress.Input
	alone.Add(meta, spec)
	in, known := egress.Input{}, false
	if d.Objects != nil {
		in, known = d.Objects()
	}
	switch {
	case !known && kind == egress.KindServiceEntry:
		return egress.CheckServiceEntry(alone.ServiceEntries[0], in.Mesh)
	case !known:
		return egress.CheckVirtualService(alone.VirtualServices[0], in.Mesh)
	}
	in.ServiceEntries = without(in.ServiceEntries, kind == egress.KindServiceEntry, meta, func(e egress.ServiceEntry) egress.Meta { return e.Meta })
	in.VirtualServices = without(in.VirtualServices, kind == egress.KindVirtualService, meta, func(v egress.VirtualService) egress.Meta { return v.Meta })
	in.Add(meta, spec)
	in.Problems, in.InCluster = nil, nil // neither is about this object
	model, all := egress.Build(in)
	return append(all.Of(kind, meta.Namespace, meta.Name), model.CrossNamespaceConflicts(kind, meta.Namespace, meta.Name)...)
}

// without is a copy of the objects that leaves out an earlier state of one.
func without[T any](all []T, same bool, one egress.Meta, meta func(T) egress.Meta) []T {
	out := make([]T, 0, len(all)+1)
	for _, other := range all {
		if m := meta(other); !same || m.Namespace != one.Namespace || m.Name != one.Name {
			out = append(out, other)
		}
	}
	return out
}

// metaOf identifies an object. One that has not been given its time yet is the
// youngest.
func metaOf(r *request) egress.Meta {
	metadata := gjson.GetBytes(r.Object, "metadata")
	created, err := time.Parse(time.RFC3339, metadata.Get("creationTimestamp").String())
	if err != nil {
		created = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return egress.Meta{Namespace: r.Namespace, Name: clip(metadata.Get("name").String(), 253), Created: created}
}

// unconcerned says why a request changes nothing that is to be judged; empty
// where it does.
func unconcerned(r *request) string {
	switch {
	case r.SubResource != "":
		return "subresource"
	case r.Operation != "CREATE" && r.Operation != "UPDATE":
		return "operation"
	case !r.hasObject():
		return "no_object"
	case gjson.GetBytes(r.Object, "metadata.deletionTimestamp").Exists():
		return "deletion" // finalizers are being removed
	}
	return ""
}

// unchanged reports an update that leaves the fields as they were, for which
// nobody is to be refused: it may be about a label, or a finalizer.
func unchanged(r *request, fields ...string) bool {
	if r.Operation != "UPDATE" {
		return false
	}
	old := gjson.GetBytes(r.body, "request.oldObject")
	for _, f := range fields {
		// One encoder wrote both. Should that ever change, nothing passes for
		// unchanged that is not.
		if old.Get(f).Raw != gjson.GetBytes(r.Object, f).Raw {
			return false
		}
	}
	return old.Exists()
}
