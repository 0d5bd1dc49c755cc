package kube

import (
	"encoding/json"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// key is a namespace and a name.
type key struct{ namespace, name string }

// Object identifies one state of a ServiceEntry, VirtualService or Sidecar.
type Object struct {
	Kind       string // egress.KindServiceEntry, egress.KindVirtualService or egress.KindSidecar
	Meta       egress.Meta
	UID        string
	Generation int64

	version  string // the API version that was read
	resource string // its resourceVersion
	// status is the object's at this resourceVersion; it is shared and never changed.
	status map[string]any
}

// object is an object as it was decoded.
type object struct {
	Object
	revision string        // its label istio.io/rev; empty: none
	spec     proto.Message // nil if it cannot be decoded
	bytes    int           // of the spec
	problems problem.List
}

func readObject(kind string, u *unstructured.Unstructured) object {
	out := object{Object: Object{
		Kind: kind, UID: string(u.GetUID()), Generation: u.GetGeneration(),
		Meta:    egress.Meta{Namespace: u.GetNamespace(), Name: u.GetName(), Created: u.GetCreationTimestamp().Time, Generation: u.GetGeneration()},
		version: u.GroupVersionKind().Version, resource: u.GetResourceVersion(),
	}}
	out.revision = u.GetLabels()[annotation.Rev]
	out.status, _ = u.Object["status"].(map[string]any)
	// The error is ignored: spec was decoded from JSON.
	text, _ := json.Marshal(u.Object["spec"])
	out.bytes = len(text)
	out.spec, out.problems = egress.Decode(kind, out.Meta, text)
	return out
}
