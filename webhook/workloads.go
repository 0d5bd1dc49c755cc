package webhook

import (
	"net/http"

	"github.com/tidwall/gjson"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// NewWorkloadHandler warns about workloads, for WarnPath, and about pods that are
// not injected. Users who apply a Deployment never see the warnings of its pods;
// here its pod template is checked by the same functions. It allows everything.
func NewWorkloadHandler(o Options) http.Handler {
	h := newHandler(o, "warn")
	h.decide, h.count = h.reviewWorkload, o.Metrics.workload
	h.panicked = func(string) answer {
		return answer{response: response{allowed: true}}
	}
	return h
}

func (h *handler) reviewWorkload(r *request) answer {
	if reason := noWorkload(r); reason != "" {
		return ignored(reason)
	}
	injector := h.Active()
	if injector == nil {
		return answer{result: resultError, response: response{allowed: true, reason: "not_ready"}}
	}
	a := answer{
		result:   resultClean,
		all:      messages("", h.warningsOf(injector, r)),
		response: response{allowed: true, config: injector.Hash()},
	}
	if len(a.all) > 0 {
		a.result = resultWarned
	}
	return a
}

func (h *handler) warningsOf(injector *inject.Injector, r *request) problem.List {
	annotations := h.namespaceAnnotations(r.Namespace)
	if r.Resource.Resource != "pods" {
		return injector.ReviewWorkload(r.Object, r.Namespace, annotations)
	}
	result, err := injector.Inject(inject.Request{Pod: r.Object, Namespace: r.Namespace, NamespaceAnnotations: annotations})
	if err != nil || result.Decision.Inject {
		return nil // of a pod that is injected, the handler of pods warns
	}
	return result.Warnings
}

// noWorkload is why there are no warnings for a request; empty where there may be.
func noWorkload(r *request) string {
	switch {
	case r.SubResource != "":
		return "subresource"
	case r.Operation != "CREATE" && r.Operation != "UPDATE":
		return "operation"
	case !r.hasObject():
		return "no_object"
	// A Job of a CronJob is created by a controller, from a template that has
	// been checked: the warning would not be read.
	case gjson.GetBytes(r.Object, `metadata.ownerReferences.#(controller==true).kind`).Exists():
		return "owned"
	}
	return ""
}
