package live

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/check"
	"github.com/outrider-mesh/outrider/check/probe"
	"github.com/outrider-mesh/outrider/explain"
)

const (
	explainNotSelected = explain.NotSelected
	explainInjected    = explain.Injected
)

// wait waits until a pod is as it should be, or until it is certain that it never will.
func (r *run) wait(ctx context.Context, pod *corev1.Pod, container string, done func(*corev1.Pod) bool) (*corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, podTimeout)
	defer cancel()
	for began := time.Now(); ; sleep(ctx, pollEvery) {
		found, err := r.client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil {
			pod = found
			if done(pod) {
				return pod, nil
			}
			if stop := r.hopeless(ctx, pod); stop != nil {
				return pod, stop
			}
		}
		if ctx.Err() != nil {
			return pod, r.late(context.WithoutCancel(ctx), pod, container, time.Since(began))
		}
		if err != nil {
			return pod, r.stopped(ctx, fmt.Sprintf("read pod %s/%s", pod.Namespace, pod.Name), err)
		}
	}
}

// statuses are those of all containers of a pod.
func statuses(p *corev1.Pod) []corev1.ContainerStatus {
	return append(append([]corev1.ContainerStatus{}, p.Status.InitContainerStatuses...), p.Status.ContainerStatuses...)
}

// hopeless is a state that does not pass; nil for another one.
func (r *run) hopeless(ctx context.Context, p *corev1.Pod) *check.Stop {
	of := fmt.Sprintf(" of pod %s/%s", p.Namespace, p.Name)
	for _, s := range statuses(p) {
		switch w, t := s.State.Waiting, s.State.Terminated; {
		case w != nil && (w.Reason == "ImagePullBackOff" || w.Reason == "InvalidImageName" || w.Reason == "ErrImageNeverPull"):
			return r.unpulled(s, of)
		case w != nil && (w.Reason == "CreateContainerConfigError" || w.Reason == "CreateContainerError" || w.Reason == "RunContainerError"):
			return &check.Stop{What: fmt.Sprintf("Container %s%s cannot be started: %s: %s.", s.Name, of, w.Reason, w.Message), Fix: "see the message; a policy of the node or of the container runtime rejects it"}
		case t != nil && t.ExitCode != 0:
			log, _ := r.log(ctx, p, s.Name)
			stop := &check.Stop{What: fmt.Sprintf("Container %s%s has ended with exit code %d (%s).", s.Name, of, t.ExitCode, t.Reason), Fix: "see its log, in the details", Details: lastLines(log)}
			if s.Name != check.ProxyContainer && s.Name != check.InitContainer {
				stop.Fix = fmt.Sprintf("see its log, in the details; image %s must be that of outrider, of this version or a newer one: set it with --image", r.facts.Image)
			}
			return stop
		}
	}
	if p.Status.Phase == corev1.PodFailed {
		return &check.Stop{What: fmt.Sprintf("Pod %s/%s has failed: %s %s", p.Namespace, p.Name, p.Status.Reason, p.Status.Message), Fix: "see the message"}
	}
	return nil
}

// unpulled is an image that cannot be pulled.
func (r *run) unpulled(s corev1.ContainerStatus, of string) *check.Stop {
	stop := &check.Stop{
		What: fmt.Sprintf("Image %s, of container %s%s, cannot be pulled: %s.", s.Image, s.Name, of, strings.TrimSuffix(s.State.Waiting.Message, ".")),
		Fix:  "set an image that the nodes can pull, with --image; for a registry with a password, run it with -n in a namespace whose default service account has imagePullSecrets",
	}
	if s.Name == check.ProxyContainer || s.Name == check.InitContainer {
		stop.Fix = "correct the image of the sidecar: global.hub, global.tag, global.proxy.image and global.proxy_init.image in ConfigMap istio-sidecar-injector, and global.imagePullSecrets"
	}
	return stop
}

// late is what a pod waits for.
func (r *run) late(ctx context.Context, p *corev1.Pod, container string, waited time.Duration) *check.Stop {
	stop := &check.Stop{What: fmt.Sprintf("Pod %s/%s is not ready after %s.", p.Namespace, p.Name, waited.Round(time.Second)), Fix: "see what it waits for, in the details; a longer time is set with --timeout"}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status != corev1.ConditionTrue {
			stop.What += " It is not scheduled: " + c.Message
			stop.Fix = "make room on a node for a pod with a sidecar, or see its taints"
			return stop
		}
	}
	for _, s := range statuses(p) {
		switch {
		case s.State.Waiting != nil:
			stop.Details = append(stop.Details, strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", s.Name, s.State.Waiting.Reason, s.State.Waiting.Message), ": "))
		case s.Name == check.InitContainer && s.State.Running != nil:
			stop.What += " Its sidecar has no configuration yet."
			stop.Fix = "see whether the sidecar reaches the control plane: NetworkPolicies, DNS, replicas; and outrider check"
		case s.Name == container && s.State.Running != nil:
			stop.Details = append(stop.Details, s.Name+": running")
		}
	}
	for _, name := range []string{check.InitContainer, check.ProxyContainer} {
		if log, err := r.log(ctx, p, name); err == nil {
			for _, line := range lastLines(log) {
				stop.Details = append(stop.Details, name+": "+line)
			}
		}
	}
	return stop
}

// lastLines are the last lines of a log.
func lastLines(log string) []string {
	const most = 3
	if log = strings.TrimSpace(log); log == "" {
		return nil
	}
	lines := strings.Split(log, "\n")
	return lines[max(0, len(lines)-most):]
}

// finish waits until a client has made its connections.
func (r *run) finish(ctx context.Context, c *client) error {
	started := func(p *corev1.Pod) bool {
		for _, s := range p.Status.ContainerStatuses {
			if s.Name == clientContainer {
				return s.State.Running != nil || s.State.Terminated != nil && s.State.Terminated.ExitCode == 0
			}
		}
		return false
	}
	var err error
	if c.pod, err = r.wait(ctx, c.pod, clientContainer, started); err != nil {
		return err
	}
	for ; ; sleep(ctx, pollEvery) {
		log, err := r.log(ctx, c.pod, clientContainer)
		if err == nil {
			done := false
			if c.observed, done = probe.ReadObservations(log); done {
				return nil
			}
		}
		if ctx.Err() != nil {
			return r.late(context.WithoutCancel(ctx), c.pod, clientContainer, r.Timeout)
		}
		pod, err := r.client.CoreV1().Pods(c.pod.Namespace).Get(ctx, c.pod.Name, metav1.GetOptions{})
		if err == nil {
			c.pod = pod
			if stop := r.hopeless(ctx, pod); stop != nil {
				return stop
			}
		}
	}
}
