package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// normal is the canonical form of the ranges that the administrator sets.
const normal = "198.51.100.1/32,203.0.113.0/24"

// Sources of settings, in the words of the status annotation.
const (
	fromValues     = "ConfigMap istio-sidecar-injector values global.proxy.excludeIPRanges"
	fromAnnotation = "annotation " + excludeAnnotation
)

func (d *demo) applyUnlabelled(ctx context.Context) (err error) {
	if err = d.must(ctx, "kubectl apply -f samples/sleep/sleep.yaml"); err != nil {
		return err
	}
	if d.before, err = d.reconcile(ctx); err != nil {
		return err
	}
	if err := d.showDifference(d.before, d.before); err != nil {
		return err
	}
	if hasSidecar(d.before) {
		return errors.New("the pod has a sidecar, although injection is not enabled")
	}
	d.check("pods in a namespace without the label are unchanged")
	return nil
}

func (d *demo) labelAndRestart(ctx context.Context) (err error) {
	if err = d.must(ctx, "kubectl label namespace "+d.namespace+" istio-injection=enabled"); err != nil {
		return err
	}
	if err = d.untilInjected(ctx, nil); err != nil {
		return err
	}
	if err = d.must(ctx, "kubectl delete pod -l app=sleep"); err != nil {
		return err
	}
	if d.injected, err = d.reconcileInjected(ctx); err != nil {
		return err
	}
	if err := d.showDifference(d.before, d.injected); err != nil {
		return err
	}
	d.check("the pod has its sidecar and is otherwise unchanged")
	return nil
}

// reconcileInjected is reconcile for a pod that must have a sidecar.
func (d *demo) reconcileInjected(ctx context.Context) (*corev1.Pod, error) {
	pod, err := d.reconcile(ctx)
	if err != nil {
		return nil, err
	}
	if !hasSidecar(pod) {
		return nil, fmt.Errorf("pod %s has no sidecar", pod.Name)
	}
	return pod, nil
}

func (d *demo) showRanges(context.Context) error {
	d.say("The injector records them in the pod's annotation %s:", statusAnnotation)
	d.line("", "")
	if err := d.showRangesOf(d.injected); err != nil {
		return err
	}
	if err := excludes(d.injected, "", fromValues); err != nil {
		return err
	}
	d.check("every range has a source, and istio-init has the same values as arguments")
	return nil
}

// edit is the command line that changes the ConfigMap in place.
func edit(from, to string) string {
	return fmt.Sprintf("kubectl -n istio-system get configmap istio-sidecar-injector -o yaml |\n"+
		"    sed 's|excludeIPRanges: %s|excludeIPRanges: %s|' | kubectl replace -f -", from, to)
}

func (d *demo) editConfiguration(ctx context.Context) error {
	if err := d.must(ctx, edit(`""`, "203.0.113.7/24, 198.51.100.1")); err != nil {
		return err
	}
	took, err := d.untilExcluded(ctx, normal)
	if err != nil {
		return err
	}
	d.say("Applied after %s, without a restart. A second pod:", took.Round(10*time.Millisecond))
	if err := d.must(ctx, "kubectl scale deployment/sleep --replicas=2"); err != nil {
		return err
	}
	next, err := d.reconcileInjected(ctx)
	if err != nil {
		return err
	}
	d.next = next
	old, err := d.client.CoreV1().Pods(d.namespace).Get(ctx, d.injected.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read the old pod: %w", err)
	}
	if err := errors.Join(d.showRangesOf(old, next), excludes(next, normal, fromValues), excludes(old, "", fromValues)); err != nil {
		return err
	}
	d.check("the new pod has the new ranges, canonicalized; the existing pod keeps its own")
	return nil
}

func (d *demo) breakConfiguration(ctx context.Context) error {
	r, err := d.run(ctx, edit(".*", "203.0.113.0/33, 10.0.0.0/8, *"))
	if err != nil {
		return err
	}
	if r.code == 0 {
		return errors.New("the ConfigMap was stored")
	}
	if err := lacks(r.err, "denied the request", `key "values":`, "global.proxy.excludeIPRanges", "203.0.113.0/33", `"*"`); err != nil {
		return err
	}
	pod, err := d.try(ctx, nil)
	if err != nil {
		return err
	}
	if err := excludes(pod, normal, fromValues); err != nil {
		return err
	}
	d.check("all errors are reported with line and fix, nothing was stored, and the previous configuration stays active")
	if err := d.must(ctx, edit(".*", "10.0.0.0/8")); err != nil {
		return err
	}
	took, err := d.untilExcluded(ctx, "10.0.0.0/8")
	if err != nil {
		return err
	}
	d.check("fixed, and applied after %s", took.Round(10*time.Millisecond))
	return nil
}

func (d *demo) overrideByAnnotation(ctx context.Context) error {
	if err := d.must(ctx, "kubectl run sleep-own --image=curlimages/curl --image-pull-policy=IfNotPresent \\\n"+
		"    --annotations="+excludeAnnotation+"=192.0.2.0/24 --command -- /bin/sleep infinity"); err != nil {
		return err
	}
	pod, err := d.client.CoreV1().Pods(d.namespace).Get(ctx, "sleep-own", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read the pod: %w", err)
	}
	if err := errors.Join(d.showRangesOf(pod), excludes(pod, "192.0.2.0/24", fromAnnotation)); err != nil {
		return err
	}
	d.check("the annotation takes precedence over the ConfigMap's 10.0.0.0/8")
	return nil
}

func (d *demo) denyAnnotation(ctx context.Context) error {
	r, err := d.run(ctx, "kubectl run sleep-typo --image=curlimages/curl \\\n"+
		"    --annotations="+excludeAnnotation+"='10.0.0.0/33 192.168.0.0/255.255.0.0' --command -- /bin/sleep infinity")
	if err != nil {
		return err
	}
	if r.code == 0 {
		return errors.New("the pod was admitted")
	}
	switch _, err := d.client.CoreV1().Pods(d.namespace).Get(ctx, "sleep-typo", metav1.GetOptions{}); {
	case err == nil:
		return errors.New("the pod was denied but exists")
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("get the denied pod: %w", err)
	}
	if err := lacks(r.err, "denied the request", excludeAnnotation, "10.0.0.0/33", "192.168.0.0/16"); err != nil {
		return err
	}
	d.check("both errors are reported with the rule and the fix, and the pod was not created")
	return nil
}

func (d *demo) warnAboutWorkload(ctx context.Context) error {
	d.say("test/demo/misplaced.yaml has the annotation in the Deployment's metadata instead of its pod template.")
	r, err := d.run(ctx, "kubectl apply -f test/demo/misplaced.yaml")
	if err != nil {
		return err
	}
	if r.code != 0 {
		return fmt.Errorf("kubectl apply: exit code %d; a warning must not deny the request", r.code)
	}
	if err := lacks(r.err, "Warning:", excludeAnnotation, "spec.template.metadata"); err != nil {
		return err
	}
	d.check("the Deployment is stored, and kubectl shows the warning")
	return nil
}
