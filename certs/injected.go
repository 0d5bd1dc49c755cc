package certs

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// annotationStatus is what an injection records in the pod.
const annotationStatus = "sidecar.istio.io/status"

// injectedBy reports whether the status annotation is of an injection by this
// product for the revision. Istio's own has no hash of a configuration.
func injectedBy(revision, status string) bool {
	var s struct{ Revision, ConfigHash string }
	return json.Unmarshal([]byte(status), &s) == nil && s.Revision == revision && s.ConfigHash != ""
}

// onlyInjected keeps of a pod's metadata whether it was injected for the
// revision: all pods of the cluster go through here.
func onlyInjected(revision string) cache.TransformFunc {
	return func(object any) (any, error) {
		o, ok := object.(*metav1.PartialObjectMetadata)
		if !ok {
			return object, nil
		}
		status := o.Annotations[annotationStatus]
		o.Labels, o.Annotations, o.ManagedFields, o.OwnerReferences, o.Finalizers = nil, nil, nil, nil, nil
		if injectedBy(revision, status) {
			o.Annotations = kept
		}
		return o, nil
	}
}

// kept is what an injected pod keeps; all of them share it.
var kept = map[string]string{annotationStatus: ""}

func isInjected(object any) bool {
	o, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return false
	}
	_, ok = o.Annotations[annotationStatus]
	return ok
}

// onInjected calls f when an injected pod comes or goes. Pods come injected or
// not at all, and their states change often, so changes are nothing.
func onInjected(f func()) cache.ResourceEventHandler {
	return cache.FilteringResourceEventHandler{
		FilterFunc: func(object any) bool {
			if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = last.Obj
			}
			return isInjected(object)
		},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { f() },
			DeleteFunc: func(any) { f() },
		},
	}
}
