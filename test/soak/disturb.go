package soak

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/outrider-mesh/outrider/test/mesh"
)

// components are the Deployments, with what each is.
var components = map[string]string{"outrider": "webhook", "outrider-xds": "control plane"}

// RotateCA is the command that makes Outrider rotate its CA certificate, as
// docs/operations.md has it.
const RotateCA = "kubectl -n istio-system delete secret outrider-ca-key"

// disturb does what the options ask for until ctx ends.
func (r *run) disturb(ctx context.Context) {
	var works sync.WaitGroup
	defer works.Wait()
	works.Go(func() { r.repeat(ctx, r.Every, r.Every, func() { r.end(ctx, "outrider") }) })
	works.Go(func() { r.repeat(ctx, 3*r.Every/2, r.Every, func() { r.end(ctx, "outrider-xds") }) })
	spread := func(n int, what string, do func(i int) error) {
		if n == 0 {
			return
		}
		every, i := r.Duration/time.Duration(n), 0
		works.Go(func() {
			r.repeat(ctx, every/4, every, func() {
				i++
				r.did(what, r.retried(ctx, func() error { return do(i) }))
			})
		})
	}
	spread(r.Rotations, "CA rotation requested", func(int) error { return r.command(ctx, RotateCA) })
	spread(r.Edits, "ConfigMap edited", func(i int) error { return r.editConfiguration(ctx, i) })
	spread(r.Rolls, "Deployments rolled", func(int) error {
		return r.command(ctx, "kubectl -n istio-system rollout restart deployment/outrider deployment/outrider-xds")
	})
	if r.Restarts > 0 {
		every := r.Duration / time.Duration(r.Restarts)
		works.Go(func() {
			r.repeat(ctx, 3*every/5, every, func() { r.did("API server restarted", r.Mesh.Signal("kube-apiserver", "-KILL")) })
		})
	}
}

// repeat does something first after a time and then at fixed times. What takes longer
// than that is not made up for.
func (r *run) repeat(ctx context.Context, first, every time.Duration, do func()) {
	for due := r.report.began.Add(first); ; due = due.Add(every) {
		wait := time.Until(due)
		if wait < -every {
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			do()
		}
	}
}

// did logs a disturbance and counts it.
func (r *run) did(what string, err error) {
	if err != nil {
		r.Log("%s: %v", what, err)
		what += " (failed)"
	} else {
		r.Log("%5.1fs %s", time.Since(r.report.began).Seconds(), what)
	}
	r.report.disturbed(what)
}

// retried repeats what fails while the API server restarts.
func (r *run) retried(ctx context.Context, do func() error) (err error) {
	for try := 0; ctx.Err() == nil && try < 20; try++ {
		if err = do(); err == nil {
			return nil
		}
		time.Sleep(500 * time.Millisecond)
	}
	return err
}

func (r *run) command(ctx context.Context, line string) error {
	if out, err := r.Mesh.Bash(ctx, line).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, out)
	}
	return nil
}

// editConfiguration changes the ConfigMaps in turns; each edit changes what is injected
// or what sidecars do.
func (r *run) editConfiguration(ctx context.Context, i int) error {
	name, patch := "istio", fmt.Sprintf(`{"data":{"mesh":"outboundTrafficPolicy: {mode: REGISTRY_ONLY}\nconnectTimeout: %ds\n"}}`, 5+i)
	if i%2 == 0 {
		name, patch = "istio-sidecar-injector", fmt.Sprintf(`{"data":{"values":"global: {proxy: {excludeIPRanges: \"198.51.100.%d/32\"}}"}}`, i)
	}
	_, err := r.kube.CoreV1().ConfigMaps(system).Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

// seeCertificate counts the serving certificates.
func (r *run) seeCertificate(ctx context.Context) {
	if s, err := r.kube.CoreV1().Secrets(system).Get(ctx, "outrider-certs", metav1.GetOptions{}); err == nil {
		r.report.served(string(s.Data[corev1.TLSCertKey]))
	}
}

// end ends the oldest replica of a Deployment, once as many as it wants are ready: the
// end of the last one is an outage of its own making.
func (r *run) end(ctx context.Context, deployment string) {
	for r.ready(ctx, deployment) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
	pod, err := r.oldest(ctx, deployment)
	if err != nil {
		return // the API server restarts
	}
	if !r.Kill {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout) // the end of the run is no failure
		defer cancel()
		err := r.kube.CoreV1().Pods(system).Delete(ctx, pod.Name, metav1.DeleteOptions{})
		r.did(components[deployment]+" replica deleted", err)
		return
	}
	r.did(components[deployment]+" replica killed", r.Mesh.KillPod(string(pod.UID)))
	// The kubelet starts a container that is killed again and again with a growing
	// delay; a new pod has none. The endpoints have lost this one by then.
	time.Sleep(r.Every / 2)
	_ = r.kube.CoreV1().Pods(system).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
}

// ready reports why not enough replicas of a Deployment are ready.
func (r *run) ready(ctx context.Context, deployment string) error {
	d, err := r.kube.AppsV1().Deployments(system).Get(ctx, deployment, metav1.GetOptions{})
	if err == nil && d.Status.ReadyReplicas < *d.Spec.Replicas {
		err = fmt.Errorf("deployment %s: %d replicas are ready", deployment, d.Status.ReadyReplicas)
	}
	return err
}

// whole reports why not all replicas of a Deployment are available and up to date.
func (r *run) whole(ctx context.Context, deployment string) error {
	d, err := r.kube.AppsV1().Deployments(system).Get(ctx, deployment, metav1.GetOptions{})
	if err != nil {
		return err
	}
	s, want := d.Status, *d.Spec.Replicas
	if s.ObservedGeneration < d.Generation || s.AvailableReplicas < want || s.UpdatedReplicas < want || s.UnavailableReplicas > 0 {
		return fmt.Errorf("deployment %s: %d of %d replicas are available, %d up to date", deployment, s.AvailableReplicas, want, s.UpdatedReplicas)
	}
	return nil
}

func (r *run) oldest(ctx context.Context, deployment string) (*corev1.Pod, error) {
	list, err := r.kube.CoreV1().Pods(system).List(ctx, metav1.ListOptions{LabelSelector: "app=" + deployment})
	if err != nil {
		return nil, err
	}
	pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil || p.Status.Phase != corev1.PodRunning })
	if len(pods) == 0 {
		return nil, fmt.Errorf("deployment %s has no running pod", deployment)
	}
	return new(slices.MinFunc(pods, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })), nil
}

// Quicken makes rotations of the CA certificate take seconds: the Deployments get the
// two durations of a rotation, of which the first covers the kubelet's delay.
func Quicken(ctx context.Context, m *mesh.Mesh) error {
	for _, line := range []string{
		`kubectl -n istio-system patch deployment outrider --type=json -p '[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--ca-settle=20s"},{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--ca-overlap=5s"}]'`,
		"kubectl -n istio-system rollout status deployment/outrider --timeout=3m",
	} {
		if out, err := m.Bash(ctx, line).CombinedOutput(); err != nil {
			return fmt.Errorf("shorten rotations: %s: %w: %s", line, err, out)
		}
	}
	return nil
}
