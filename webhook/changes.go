package webhook

import "github.com/tidwall/gjson"

// skipReason is why a request is not validated; empty where it is.
func skipReason(r *request) string {
	switch {
	case r.SubResource != "":
		return "subresource"
	case r.Operation != "CREATE" && r.Operation != "UPDATE":
		return "operation"
	case !r.hasObject():
		return "no_object"
	case gjson.GetBytes(r.Object, "metadata.deletionTimestamp").Exists():
		return "deletion" // finalizers are being removed
	}
	return ""
}

// unchanged reports an update that leaves the fields as they were, which is never
// denied: it may be about a label, or a finalizer.
func unchanged(r *request, fields ...string) bool {
	if r.Operation != "UPDATE" {
		return false
	}
	old := gjson.GetBytes(r.body, "request.oldObject")
	for _, f := range fields {
		// One encoder wrote both. Should that ever change, an unchanged field
		// counts as changed, never the other way round.
		if old.Get(f).Raw != gjson.GetBytes(r.Object, f).Raw {
			return false
		}
	}
	return old.Exists()
}
