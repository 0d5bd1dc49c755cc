package kube

import (
	"encoding/json"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/outrider-mesh/outrider/annotation"
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
	revision string        // its label istio.io/rev
	spec     proto.Message // nil when it has a fault
	problems egress.Problems
}

func readObject(kind string, u *unstructured.Unstructured) object {
	out := object{Object: Object{
		Kind: kind, UID: string(u.GetUID()), Generation: u.GetGeneration(),
		Meta:    egress.Meta{Namespace: u.GetNamespace(), Name: u.GetName(), Created: u.GetCreationTimestamp().Time},
		version: u.GroupVersionKind().Version, resource: u.GetResourceVersion(),
	}}
	out.revision = u.GetLabels()[annotation.Rev]
	out.status, _ = u.Object["status"].(map[string]any)
	// What came as JSON can be written as JSON.
	text, _ := json.Marshal(u.Object["spec"])
	out.spec, out.problems = egress.Decode(kind, out.Meta, text)
	return out
}
