package status

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// objectOf is the workload of a pod.
func objectOf(p *corev1.Pod) Object {
	o := inject.OwnerOf(p)
	return Object{Kind: o.Kind, Namespace: p.Namespace, Name: o.Name}
}

// ofEach are the labels that each pod of a workload has with another value, and that no
// template of a pod has.
var ofEach = []string{
	"statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index",
	"batch.kubernetes.io/job-completion-index", "batch.kubernetes.io/controller-uid", "controller-uid",
}

// read are the annotations that an injection depends on, by prefix. Network plugins and
// others write annotations with another value to each pod.
var read = []string{
	"sidecar.istio.io/", "traffic.sidecar.istio.io/", "status.sidecar.istio.io/", "readiness.status.sidecar.istio.io/",
	"proxy.istio.io/", "inject.istio.io/", "istio.io/", "prometheus.istio.io/",
}

// key is the same for pods that are compared once: those of one pod template, with the same
// record of their injection. A pod without a controller is compared alone.
func key(p *corev1.Pod) string {
	var b strings.Builder
	add := func(parts ...string) {
		for _, part := range parts {
			fmt.Fprintf(&b, "%d:%s", len(part), part)
		}
	}
	owner := metav1.GetControllerOfNoCopy(p)
	if owner == nil {
		add(p.Namespace, "", string(p.UID), p.Name)
		return b.String()
	}
	add(p.Namespace, owner.Kind, owner.Name)
	for _, name := range slices.Sorted(maps.Keys(p.Labels)) {
		if !slices.Contains(ofEach, name) {
			add(name, p.Labels[name])
		}
	}
	b.WriteByte(';')
	for _, name := range slices.Sorted(maps.Keys(p.Annotations)) {
		if slices.ContainsFunc(read, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			add(name, p.Annotations[name])
		}
	}
	return b.String()
}

// restartable are the kinds that "kubectl rollout restart" restarts.
var restartable = []string{"Deployment", "StatefulSet", "DaemonSet"}

// restart is the command that creates the pods of a workload again, or what to do instead.
func (o Object) restart(pods []string) (command, note string) {
	name := strings.ToLower(o.Kind) + "/" + o.Name
	switch {
	case o.File != "":
		return "", ""
	case slices.Contains(restartable, o.Kind):
		return fmt.Sprintf("kubectl rollout restart -n %s %s", o.Namespace, name), ""
	case o.Kind == "Rollout":
		return fmt.Sprintf("kubectl argo rollouts restart -n %s %s", o.Namespace, o.Name), ""
	case o.Kind == "DeploymentConfig":
		return fmt.Sprintf("oc rollout latest -n %s dc/%s", o.Namespace, o.Name), ""
	case o.Kind == "Pod":
		return "", "no controller creates the pod again: delete it, and apply its manifest"
	case o.Kind == "Job", o.Kind == "CronJob":
		return "", "the pods of a Job are not created again while they run: wait for their end, or delete the Job and apply its manifest"
	}
	return fmt.Sprintf("kubectl delete pod -n %s %s", o.Namespace, strings.Join(pods, " ")), ""
}

// own reports whether a record is of an injection by a revision of this product: Istio's
// has no hash of a configuration.
func own(with inject.Injected, r revision.Revision) bool {
	return with.ConfigHash != "" && r.Matches(with.Revision)
}
