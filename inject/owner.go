package inject

import (
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// OwnerOf returns the workload of a pod, derived from its controller.
func OwnerOf(pod *corev1.Pod) Owner { return ownerOf(pod, Request{}) }

// ownerOf returns the workload of a pod: the caller's, unless that is the pod itself,
// else the controller, else the pod. The owner of the controller is derived as in
// Istio, from what Kubernetes sets: a
// Deployment or an Argo Rollout from its ReplicaSet's hash, a CronJob from its
// Job's time stamp, a DeploymentConfig from the label on its pods.
func ownerOf(pod *corev1.Pod, r Request) Owner {
	if r.Owner != (Owner{}) && r.Owner.Kind != "Pod" {
		return r.Owner
	}
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil {
		return Owner{"v1", "Pod", pod.Name}
	}
	switch ref.Kind {
	case "ReplicaSet":
		hash := pod.Labels["pod-template-hash"]
		if name, ok := strings.CutSuffix(ref.Name, "-"+hash); ok && hash != "" {
			return Owner{"apps/v1", "Deployment", name}
		}
		hash = pod.Labels["rollouts-pod-template-hash"]
		if name, ok := strings.CutSuffix(ref.Name, "-"+hash); ok && hash != "" {
			return Owner{"argoproj.io/v1alpha1", "Rollout", name}
		}
	case "Job":
		if m := cronJobName.FindStringSubmatch(ref.Name); m != nil {
			return Owner{"batch/v1", "CronJob", m[1]}
		}
	case "ReplicationController":
		if name := pod.Labels["deploymentconfig"]; name != "" {
			return Owner{"apps.openshift.io/v1", "DeploymentConfig", name}
		}
	}
	return Owner{ref.APIVersion, ref.Kind, ref.Name}
}

// cronJobName takes the time, in minutes, from the name of a CronJob's Job.
var cronJobName = regexp.MustCompile(`^(.+)-\d{8,10}$`)
