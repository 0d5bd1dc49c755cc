package webhook

import (
	"cmp"
	"time"

	"github.com/tidwall/gjson"

	"github.com/outrider-mesh/outrider/internal/problem"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// log writes the one line of a request: the object, the result, the
// configuration, the duration. Of the pod itself only names are logged;
// its environment and annotations may hold secrets.
func (h *handler) log(r *request, a *answer, took time.Duration) {
	log := h.Log
	if a.err == nil && !log.Enabled() {
		return
	}
	omitted := int64(0)
	if a.http != nil && a.err == nil { // no review
		var ok bool
		if omitted, ok = h.shared.errorLog.allow(); !ok {
			return
		}
	}
	fields := make([]any, 0, 36)
	fields = append(fields, "handler", h.name, "result", a.result, "reason", a.reason, "duration", took.String())
	if a.config != "" {
		fields = append(fields, "config", a.config)
	}
	if r != nil {
		fields = appendRequest(fields, r, a.object)
	}
	fields = a.appendMessages(fields)
	if omitted > 0 {
		fields = append(fields, "omittedLines", omitted)
	}
	if a.stack != nil {
		log.Error(a.err, "admission", append(fields, "stack", string(a.stack))...)
		return
	}
	log.Info("admission", fields...)
}

// maxOwner is the length of a kind and a name.
const maxOwner = 320

// appendRequest adds the request's uid and namespace, the object's kind, its name
// or what its name is generated from, and its owner.
func appendRequest(fields []any, r *request, object *metav1.ObjectMeta) []any {
	fields = append(fields, "uid", r.UID, "namespace", r.Namespace, "kind", r.Kind.Kind)
	switch {
	case object != nil:
		fields = append(fields, "name", problem.Clip(cmp.Or(object.Name, object.GenerateName), maxName))
		if len(object.OwnerReferences) > 0 {
			owner := &object.OwnerReferences[0]
			fields = append(fields, "owner", problem.Clip(owner.Kind+"/"+owner.Name, maxOwner))
		}
	case r.hasObject():
		metadata := gjson.GetBytes(r.text(), "metadata")
		name := metadata.Get("name")
		if !name.Exists() {
			name = metadata.Get("generateName")
		}
		fields = append(fields, "name", problem.Clip(name.String(), maxName))
		if owner := metadata.Get("ownerReferences.0"); owner.Exists() {
			fields = append(fields, "owner", problem.Clip(owner.Get("kind").String()+"/"+owner.Get("name").String(), maxOwner))
		}
	}
	if r.DryRun {
		fields = append(fields, "dryRun", true)
	}
	return fields
}

// appendMessages adds the status with its message, and the warnings.
func (a *answer) appendMessages(fields []any) []any {
	if a.http != nil {
		fields = append(fields, "status", a.http.status, "message", a.http.text)
	}
	if a.status != nil {
		fields = append(fields, "status", a.status.code, "message", a.status.message)
	}
	if len(a.all) > 0 {
		texts := make([]string, len(a.all))
		for i, m := range a.all {
			texts[i] = m.String()
		}
		fields = append(fields, "warnings", texts)
	}
	return fields
}
