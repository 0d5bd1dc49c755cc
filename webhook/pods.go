package webhook

import (
	"fmt"
	"net/http"

	"github.com/tidwall/gjson"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// NewPodHandler injects pods, for InjectPath. It fails closed: a pod that cannot
// be processed is denied.
func NewPodHandler(o Options) http.Handler {
	h := newHandler(o, "inject")
	h.decode, h.decide, h.count = decodePodReview, h.injectPod, o.Metrics.pod
	h.refuse = func(reason, message string) answer {
		return denied(resultDenied, reason, http.StatusRequestEntityTooLarge, "pod: "+message)
	}
	h.panicked = func(uid string) answer {
		return denied(resultError, "panic", http.StatusInternalServerError,
			"internal error; see the Outrider log for uid "+problem.Clip(uid, 64))
	}
	return h
}

const notConfigured = "no valid configuration loaded; see the Outrider log for errors in ConfigMap istio-sidecar-injector or istio"

// injectPod decides one request. Requests other than pod CREATE are allowed
// unchanged; a CREATE of a pod with another object is denied.
func (h *handler) injectPod(r *request) answer {
	if a, concerned := checkRequest(r); !concerned {
		return a
	}
	if a, isPod := checkPod(r); !isPod {
		return a
	}
	injector := h.Active()
	if injector == nil {
		return denied(resultError, "not_ready", http.StatusServiceUnavailable, notConfigured)
	}
	of := inject.Request{
		Decoded: r.pod, Tree: r.tree,
		Namespace: r.Namespace, NamespaceAnnotations: h.namespaceAnnotations(r.Namespace),
	}
	if r.pod == nil {
		of.Pod = r.text()
	}
	result, err := injector.Inject(of)
	var a answer
	if err != nil {
		a = notInjected(err)
	} else {
		a = injected(result)
	}
	a.config = injector.Hash()
	return a
}

// checkRequest answers a request that is not about the creation of a pod.
func checkRequest(r *request) (a answer, concerned bool) {
	switch {
	case r.Resource.Group != "" || r.Resource.Resource != "pods":
		return denied(resultDenied, "not_a_pod", http.StatusBadRequest, fmt.Sprintf(
			"unexpected resource %q (group %q, kind %q); check the rules of the webhook configuration",
			problem.Clip(r.Resource.Resource, 100), problem.Clip(r.Resource.Group, 100), problem.Clip(r.Kind.String(), 200))), false
	case r.SubResource != "":
		return ignored("subresource"), false
	case r.Operation != "CREATE":
		return ignored("operation"), false
	}
	return answer{}, true
}

// checkPod denies a request for a pod whose object is not one.
func checkPod(r *request) (a answer, isPod bool) {
	got := r.Kind.String()
	if r.Kind == (gvk{Version: "v1", Kind: "Pod"}) {
		if !r.hasObject() {
			return denied(resultDenied, "no_object", http.StatusBadRequest, "request.object is required"), false
		}
		kind, is := r.kind()
		if is {
			return answer{}, true
		}
		got = "an object of kind " + kind
	}
	return denied(resultDenied, "not_a_pod", http.StatusBadRequest,
		"expected v1 Pod, got "+problem.Clip(got, 200)), false
}

// kind is the kind that the object has in its text, and whether it is that of a pod. One
// without a kind is what the request has.
func (r *request) kind() (kind string, pod bool) {
	if r.pod != nil {
		return r.pod.Kind, r.pod.Kind == "Pod" || r.pod.Kind == "" && r.tree.Get("kind") == nil
	}
	of := gjson.GetBytes(r.text(), "kind")
	return of.String(), !of.Exists() || of.Str == "Pod"
}
