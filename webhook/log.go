package webhook

import (
	"time"

	"github.com/tidwall/gjson"
)

// log writes the one line of an admission: who, what came of it, by which
// configuration, how long it took. Of the pod itself only names are logged;
// its environment and annotations may hold secrets.
func (d *door) log(r *request, o *outcome, took time.Duration) {
	log := d.Log
	if o.err == nil && !log.Enabled() {
		return
	}
	fields := make([]any, 0, 36)
	fields = append(fields, "door", d.name, "result", o.result, "reason", o.reason, "duration", took.String())
	if o.config != "" {
		fields = append(fields, "config", o.config)
	}
	if r != nil {
		fields = append(fields, "uid", r.UID, "namespace", r.Namespace)
		fields = appendNames(fields, r)
		if r.DryRun {
			fields = append(fields, "dryRun", true)
		}
	}
	if o.http != nil {
		fields = append(fields, "status", o.http.status, "message", o.http.text)
	}
	if o.status != nil {
		fields = append(fields, "status", o.status.code, "message", o.status.message)
	}
	if len(o.all) > 0 {
		fields = append(fields, "warnings", o.all)
	}
	if o.stack != nil {
		log.Error(o.err, "admission", append(fields, "stack", string(o.stack))...)
		return
	}
	log.Info("admission", fields...)
}

// appendNames adds the object's kind, its name or what its name is generated
// from, and its owner.
func appendNames(fields []any, r *request) []any {
	fields = append(fields, "kind", r.Kind.Kind)
	if !r.hasObject() {
		return fields
	}
	metadata := gjson.GetBytes(r.Object, "metadata")
	name := metadata.Get("name")
	if !name.Exists() {
		name = metadata.Get("generateName")
	}
	fields = append(fields, "name", clip(name.String(), 253))
	if owner := metadata.Get("ownerReferences.0"); owner.Exists() {
		fields = append(fields, "owner", clip(owner.Get("kind").String()+"/"+owner.Get("name").String(), 320))
	}
	return fields
}
