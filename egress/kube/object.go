package kube

import (
	"cmp"
	"encoding/json"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/outrider-mesh/outrider/egress"
)

// key is a namespace and a name.
type key struct{ namespace, name string }

// Object identifies one state of a ServiceEntry or VirtualService.
type Object struct {
	Kind       string // egress.KindServiceEntry or egress.KindVirtualService
	Meta       egress.Meta
	UID        string
	Generation int64

	version  string // the API version it was read in
	resource string // its resourceVersion
	// status is the object's own as it was then; it is shared, and never changed.
	status map[string]any
}

// object is one as it was read.
type object struct {
	Object
	revision string        // that it names; empty: none
	spec     proto.Message // nil when it has a fault
	problems egress.Problems
}

// labelRevision names the one revision of the control plane that an object is
// for. Without it an object is for all.
const labelRevision = "istio.io/rev"

// DefaultRevision is the revision of a control plane that names none.
const DefaultRevision = "default"

// isFor reports whether a revision is to read the object.
func (o object) isFor(revision string) bool {
	return o.revision == "" || o.revision == cmp.Or(revision, DefaultRevision)
}

func readObject(kind string, u *unstructured.Unstructured) object {
	out := object{Object: Object{
		Kind: kind, UID: string(u.GetUID()), Generation: u.GetGeneration(),
		Meta:    egress.Meta{Namespace: u.GetNamespace(), Name: u.GetName(), Created: u.GetCreationTimestamp().Time},
		version: u.GroupVersionKind().Version, resource: u.GetResourceVersion(),
	}}
	out.revision = u.GetLabels()[labelRevision]
	out.status, _ = u.Object["status"].(map[string]any)
	// What came as JSON can be written as JSON.
	text, _ := json.Marshal(u.Object["spec"])
	out.spec, out.problems = egress.Decode(kind, out.Meta, text)
	return out
}
