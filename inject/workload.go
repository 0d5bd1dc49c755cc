package inject

// Template is a pod template found in an object: the pod itself, or the
// template of a workload.
type Template struct {
	// Pointer is the JSON pointer of the object that holds "metadata" and "spec"
	// of the pod: "" for a Pod, "/spec/template" for a Deployment,
	// "/spec/jobTemplate/spec/template" for a CronJob.
	Pointer string
	// Owner is the object itself, as templates see it.
	Owner Owner
	// Namespace is the object's metadata.namespace, often empty in files.
	Namespace string
	// Annotations and Labels are those of the object's own metadata. For a
	// workload they have no effect on the pod, which is worth a warning.
	Annotations, Labels map[string]string
	// Pod is the JSON to give to Injector.Inject as Request.Pod.
	Pod []byte
}
