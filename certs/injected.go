package certs

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/outrider-mesh/outrider/annotation"
)

// injectedBy reports whether the status annotation is of an injection by this
// product for the revision. Istio's own has no hash of a configuration.
func injectedBy(revision, status string) bool {
	var s struct{ Revision, ConfigHash string }
	return json.Unmarshal([]byte(status), &s) == nil && s.Revision == revision && s.ConfigHash != ""
}

// onlyInjected reduces a pod's metadata to whether it was injected by the revision:
// it runs for all pods of the cluster.
func onlyInjected(revision string) cache.TransformFunc {
	return func(object any) (any, error) {
		o, ok := object.(*metav1.PartialObjectMetadata)
		if !ok {
			return object, nil
		}
		status := o.Annotations[annotation.SidecarStatus]
		o.Labels, o.Annotations, o.ManagedFields, o.OwnerReferences, o.Finalizers = nil, nil, nil, nil, nil
		if injectedBy(revision, status) {
			o.Annotations = injectedMark
		}
		return o, nil
	}
}

// injectedMark marks an injected pod; all of them share it.
var injectedMark = map[string]string{annotation.SidecarStatus: ""}

func isInjected(object any) bool {
	o, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return false
	}
	_, ok = o.Annotations[annotation.SidecarStatus]
	return ok
}

// onInjected calls f when an injected pod is created or deleted. A pod is created
// injected or never is, and its status changes often, so updates are ignored.
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
