package live

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// resourceOf are the resources of the kinds of workloads that the control plane may read.
var resourceOf = map[string]string{
	"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets", "ReplicaSet": "replicasets", "Job": "jobs", "CronJob": "cronjobs", "Pod": "pods",
}

// uid reads the UID of a workload: a report has names only. It is empty where there is no
// such workload any more, or it cannot be read.
func (r *Recorder) uid(ctx context.Context, of eventKey) types.UID {
	resource := resourceOf[of.workload.Kind]
	if r.options.Metadata == nil || resource == "" {
		return ""
	}
	version, _ := schema.ParseGroupVersion(versionOf[of.workload.Kind]) // a constant
	object, err := r.options.Metadata.Resource(version.WithResource(resource)).Namespace(of.namespace).Get(ctx, of.workload.Name, metav1.GetOptions{})
	if err != nil {
		r.options.Log.V(1).Info("UID of a workload is unknown: kubectl describe does not list its Event", "namespace", of.namespace, "workload", of.workload.String(), "reason", err.Error())
		return ""
	}
	return object.UID
}
