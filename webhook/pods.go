package webhook

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/tidwall/gjson"

	"github.com/outrider-mesh/outrider/inject"
)

// NewHandler is the door that injects pods, for InjectPath. It fails closed:
// where it cannot judge, it refuses.
func NewHandler(o Options) http.Handler {
	d := newDoor(o, "inject")
	d.judge, d.count = d.judgePod, o.Metrics.pod
	d.failed = func(uid string) outcome {
		return refused(resultError, "panic", http.StatusInternalServerError,
			fmt.Sprintf("internal error while injecting; the webhook's log has the details under uid %s", clip(uid, 64)))
	}
	return d
}

// judgePod decides one request. What is no creation of a pod is not ours to
// judge and passes; what claims to be a pod and is none is refused.
func (d *door) judgePod(r *request) outcome {
	if r.Resource.Group != "" || r.Resource.Resource != "pods" {
		return refused(resultRefused, "not_a_pod", http.StatusBadRequest, fmt.Sprintf(
			"this webhook injects pods and was sent resource %q of group %q, kind %q; its registration must have the rule resources: [\"pods\"] only",
			clip(r.Resource.Resource, 100), clip(r.Resource.Group, 100), clip(r.Kind.String(), 200)))
	}
	if r.SubResource != "" {
		return ignored("subresource")
	}
	if r.Operation != "CREATE" {
		return ignored("operation")
	}
	if o, ok := checkPod(r); !ok {
		return o
	}
	injector := d.Settings.Load()
	if injector == nil {
		return refused(resultError, "not_ready", http.StatusServiceUnavailable,
			"the sidecar injector has no valid configuration yet; its log says what is wrong with ConfigMap istio-sidecar-injector or istio")
	}
	result, err := injector.Inject(inject.Request{
		Pod:                  r.Object,
		Namespace:            r.Namespace,
		NamespaceAnnotations: d.namespaceAnnotations(r.Namespace),
	})
	var o outcome
	if err != nil {
		o = refusedBy(err)
	} else {
		o = admitted(result)
	}
	o.config = injector.Hash()
	return o
}

// checkPod refuses a request for a pod whose object is none.
func checkPod(r *request) (outcome, bool) {
	got := r.Kind.String()
	if r.Kind == (gvk{Version: "v1", Kind: "Pod"}) {
		if !r.hasObject() {
			return refused(resultRefused, "no_object", http.StatusBadRequest,
				"the request to create a pod has no object; send the pod in request.object"), false
		}
		// The API server writes the kind first, so this looks at a few bytes.
		kind := gjson.GetBytes(r.Object, "kind")
		if !kind.Exists() || kind.Str == "Pod" {
			return outcome{}, true
		}
		got = "an object of kind " + kind.String()
	}
	return refused(resultRefused, "not_a_pod", http.StatusBadRequest,
		fmt.Sprintf("this webhook injects pods (v1 Pod) and was sent %s", clip(got, 200))), false
}

func admitted(result *inject.Result) outcome {
	o := outcome{
		result:   resultSkipped,
		all:      result.Warnings,
		response: response{allowed: true, reason: string(result.Decision.Reason)},
	}
	if result.Decision.Inject {
		o.result, o.patch = resultInjected, result.Patch
		if len(result.Patch) == 0 {
			o.result = resultUnchanged
		}
	}
	return o
}

func refusedBy(err error) outcome {
	var e *inject.Error
	if !errors.As(err, &e) {
		o := refused(resultError, "internal", http.StatusInternalServerError, clip(err.Error(), maxMessage))
		o.err = err
		return o
	}
	code := int32(http.StatusUnprocessableEntity)
	if e.Code == inject.RefusedPod {
		code = http.StatusBadRequest
	}
	o := refused(resultRefused, e.Code, code, refusalText(e.Problems))
	o.err = err
	return o
}

func refused(result, reason string, code int32, message string) outcome {
	return outcome{result: result, response: response{reason: reason, status: &status{code, message}}}
}

func ignored(reason string) outcome {
	return outcome{result: resultIgnored, response: response{allowed: true, reason: reason}}
}
