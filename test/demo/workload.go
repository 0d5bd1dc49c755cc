package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// reconcile stands in for the controller manager, which a bare API server
// lacks: it makes the ReplicaSet of the Deployment sleep and the pods that are
// missing. It returns the pod it made last. On a cluster it waits for that.
func (d *demo) reconcile(ctx context.Context) (*corev1.Pod, error) {
	if d.mesh != nil {
		return d.rolledOut(ctx)
	}
	deployment, err := d.client.AppsV1().Deployments(d.namespace).Get(ctx, "sleep", metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the Deployment: %w", err)
	}
	set, err := d.replicaSet(ctx, deployment)
	if err != nil {
		return nil, fmt.Errorf("create the ReplicaSet: %w", err)
	}
	pods := d.client.CoreV1().Pods(d.namespace)
	have, err := pods.List(ctx, metav1.ListOptions{LabelSelector: labels.Set(set.Labels).String()})
	if err != nil {
		return nil, fmt.Errorf("list the pods: %w", err)
	}
	var made *corev1.Pod
	for range int(*deployment.Spec.Replicas) - len(have.Items) {
		pod := podOf(&set.Spec.Template, controlledBy(set, appsv1.SchemeGroupVersion.WithKind("ReplicaSet")))
		pod.GenerateName = set.Name + "-"
		if made, err = pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("create the pod: %w", err)
		}
		d.aside("a bare API server has no controller manager; the demo created pod %s instead", made.Name)
	}
	if made == nil {
		return nil, fmt.Errorf("the Deployment has %d replicas and %d pods: nothing to create", *deployment.Spec.Replicas, len(have.Items))
	}
	return made, nil
}

// replicaSet returns the ReplicaSet of the Deployment's present template, and
// makes it if there is none.
func (d *demo) replicaSet(ctx context.Context, of *appsv1.Deployment) (*appsv1.ReplicaSet, error) {
	text, err := json.Marshal(of.Spec.Template)
	if err != nil {
		return nil, err
	}
	h := fnv.New32a()
	_, _ = h.Write(text)
	hash := strconv.FormatUint(uint64(h.Sum32()), 36)

	set := &appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{Replicas: of.Spec.Replicas, Template: *of.Spec.Template.DeepCopy()}}
	set.Spec.Template.Labels["pod-template-hash"] = hash
	set.Spec.Selector = &metav1.LabelSelector{MatchLabels: set.Spec.Template.Labels}
	set.Name, set.Labels = of.Name+"-"+hash, set.Spec.Template.Labels
	set.OwnerReferences = controlledBy(of, appsv1.SchemeGroupVersion.WithKind("Deployment"))

	sets := d.client.AppsV1().ReplicaSets(d.namespace)
	made, err := sets.Create(ctx, set, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return sets.Get(ctx, set.Name, metav1.GetOptions{})
	}
	return made, err
}

func controlledBy(owner metav1.Object, kind schema.GroupVersionKind) []metav1.OwnerReference {
	return []metav1.OwnerReference{*metav1.NewControllerRef(owner, kind)}
}

// podOf is the pod that a controller makes of a template.
func podOf(template *corev1.PodTemplateSpec, owners []metav1.OwnerReference) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
	pod.OwnerReferences = owners
	return pod
}

// byItself is the label that enables injection of a pod, regardless of its
// namespace.
var byItself = map[string]string{"sidecar.istio.io/inject": "true"}

// try creates a pod in a dry run.
func (d *demo) try(ctx context.Context, labels map[string]string) (*corev1.Pod, error) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "try-", Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
	return d.client.CoreV1().Pods(d.namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
}

// untilInjected waits until a pod with the given labels would get a sidecar:
// the API server takes a moment to see what was just registered or labelled.
func (d *demo) untilInjected(ctx context.Context, labels map[string]string) error {
	_, err := eventually(ctx, func() error {
		pod, err := d.try(ctx, labels)
		if err == nil && !hasSidecar(pod) {
			err = errors.New("the API server does not call the webhook")
		}
		return err
	})
	return err
}

// untilExcluded waits until new pods exclude the value because of the
// ConfigMap, and returns how long that took.
func (d *demo) untilExcluded(ctx context.Context, value string) (time.Duration, error) {
	return eventually(ctx, func() error {
		pod, err := d.try(ctx, nil)
		if err != nil {
			return err
		}
		if err := excludes(pod, value, fromValues); err != nil || d.mesh == nil {
			return err
		}
		hash, err := configHash(pod)
		if err != nil {
			return err
		}
		return d.mesh.ConfigurationActive(ctx, hash) // for whichever replica makes the next pod
	})
}
