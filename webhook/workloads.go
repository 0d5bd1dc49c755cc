package webhook

import (
	"net/http"

	"github.com/tidwall/gjson"
)

// NewWorkloadHandler is the door that warns about workloads, for WarnPath. The
// person who applies a Deployment never sees the warnings of its pods; here
// the pod template is judged by the same functions. It allows everything.
func NewWorkloadHandler(o Options) http.Handler {
	d := newDoor(o, "warn")
	d.judge, d.count = d.judgeWorkload, o.Metrics.workload
	d.failed = func(string) outcome {
		return outcome{response: response{allowed: true}}
	}
	return d
}

func (d *door) judgeWorkload(r *request) outcome {
	if r.SubResource != "" {
		return ignored("subresource")
	}
	if r.Operation != "CREATE" && r.Operation != "UPDATE" {
		return ignored("operation")
	}
	if !r.hasObject() {
		return ignored("no_object")
	}
	// A Job of a CronJob was made by a controller, from a template that has
	// been judged: nobody would read the warning.
	if gjson.GetBytes(r.Object, `metadata.ownerReferences.#(controller==true).kind`).Exists() {
		return ignored("owned")
	}
	injector := d.Settings.Load()
	if injector == nil {
		return outcome{result: resultError, response: response{allowed: true, reason: "not_ready"}}
	}
	o := outcome{
		result:   resultClean,
		all:      injector.ReviewWorkload(r.Object, r.Namespace, d.namespaceAnnotations(r.Namespace)),
		response: response{allowed: true, config: injector.Hash()},
	}
	if len(o.all) > 0 {
		o.result = resultWarned
	}
	return o
}
