package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/lifecycle"
)

// ErrNotInjected is the error of Verify for a pod without a sidecar. Its explanation
// has been written.
var ErrNotInjected = errors.New("pods are not injected")

// VerifyOptions configure Verify.
type VerifyOptions struct {
	lifecycle.Installation
	// TestNamespace is where the pod is created in dry run. It must have the label
	// that selects the revision.
	TestNamespace string
	// Image is the image of the pod's container. It is not pulled.
	Image string
	// Timeout is how long to wait for a pod to be injected, and Every the time
	// between two attempts; zero means 2 seconds.
	Timeout, Every time.Duration
}

// Verify creates a pod in dry run until it is injected, or until it is certain that
// waiting changes nothing. It writes each new reason to out.
func Verify(ctx context.Context, client kubernetes.Interface, o VerifyOptions, out io.Writer) error {
	if o.Every == 0 {
		o.Every = 2 * time.Second
	}
	deadline := time.Now().Add(o.Timeout)
	for last := ""; ; {
		attempt := o.attempt(ctx, client)
		finding := lifecycle.Explain(attempt, o.observe(ctx, client))
		over := finding.Final || time.Now().After(deadline)
		if text := finding.Text(); text != last || over {
			if !over {
				text = "waiting: " + text
			}
			if _, err := io.WriteString(out, text); err != nil {
				return err
			}
			last = finding.Text()
		}
		switch {
		case finding.Injected:
			return nil
		case over:
			return ErrNotInjected
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(o.Every):
		}
	}
}

// pod is a pod that every Pod Security level admits.
func (o VerifyOptions) pod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: o.Name(lifecycle.Verify), Namespace: o.TestNamespace},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: new(false),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: new(int64(65532)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "app", Image: o.Image,
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false),
					Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}

// Try creates the pod in dry run once, and reads what explains a pod without a sidecar.
func Try(ctx context.Context, client kubernetes.Interface, o VerifyOptions) (lifecycle.Attempt, lifecycle.Cluster) {
	attempt := o.attempt(ctx, client)
	if attempt.Injected {
		return attempt, lifecycle.Cluster{Installation: o.Installation, TestNamespace: o.TestNamespace}
	}
	return attempt, o.observe(ctx, client)
}

func (o VerifyOptions) attempt(ctx context.Context, client kubernetes.Interface) lifecycle.Attempt {
	pod, err := client.CoreV1().Pods(o.TestNamespace).Create(ctx, o.pod(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return lifecycle.Attempt{Error: err.Error()}
	}
	return lifecycle.Attempt{Injected: pod.Annotations[annotation.SidecarStatus] != ""}
}

// observe reads what explains an attempt. What cannot be read is omitted: the
// explanation is then less precise.
func (o VerifyOptions) observe(ctx context.Context, client kubernetes.Interface) lifecycle.Cluster {
	c := lifecycle.Cluster{Installation: o.Installation, TestNamespace: o.TestNamespace, Label: "no label for injection", Port: 9443}
	o.observeRegistration(ctx, client, &c)
	if nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{Limit: 1}); err == nil && len(nodes.Items) > 0 {
		c.Provider, _, _ = strings.Cut(nodes.Items[0].Spec.ProviderID, "://")
	}
	injector, err := client.CoreV1().ConfigMaps(o.Namespace).Get(ctx, o.Name("istio-sidecar-injector"), metav1.GetOptions{})
	if err == nil {
		var config struct{ Policy string }
		if yaml.Unmarshal([]byte(injector.Data["config"]), &config) == nil {
			c.Policy = config.Policy
		}
	}
	deployment, err := client.AppsV1().Deployments(o.Namespace).Get(ctx, o.Name(lifecycle.Deployment), metav1.GetOptions{})
	if err != nil {
		return c
	}
	c.Ready, c.Desired = deployment.Status.ReadyReplicas, 1
	if deployment.Spec.Replicas != nil {
		c.Desired = *deployment.Spec.Replicas
	}
	for _, container := range deployment.Spec.Template.Spec.Containers {
		for _, p := range container.Ports {
			if p.Name == "https-webhook" {
				c.Port = p.ContainerPort
			}
		}
	}
	c.Pods, _ = NotReady(ctx, client, deployment)
	return c
}

// NotReady are the pods of a Deployment that are not ready, of the first 20, and why a pod
// is not created.
func NotReady(ctx context.Context, client kubernetes.Interface, d *appsv1.Deployment) (out []lifecycle.Pod, err error) {
	for _, condition := range d.Status.Conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			out = append(out, lifecycle.Pod{Name: "not created", Reason: condition.Reason, Message: condition.Message})
		}
	}
	pods, err := client.CoreV1().Pods(d.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: metav1.FormatLabelSelector(d.Spec.Selector), Limit: 20,
	})
	if err != nil {
		return out, err
	}
	for i := range pods.Items {
		out = append(out, notReady(&pods.Items[i])...)
	}
	return out, nil
}

// observeRegistration reads the webhook configuration, whether it selects the pod,
// and whether caBundle is the bundle that sidecars have.
func (o VerifyOptions) observeRegistration(ctx context.Context, client kubernetes.Interface, c *lifecycle.Cluster) {
	configuration, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, o.Name(lifecycle.WebhookConfigurations), metav1.GetOptions{})
	if err != nil {
		return
	}
	c.Registered, c.Published, c.Current, c.Ignored = true, true, true, len(configuration.Webhooks) > 0
	bundle := ""
	if ca, err := client.CoreV1().ConfigMaps(o.TestNamespace).Get(ctx, o.Name(lifecycle.CABundle), metav1.GetOptions{}); err == nil {
		bundle = ca.Data["ca.pem"]
	}
	namespace, err := client.CoreV1().Namespaces().Get(ctx, o.TestNamespace, metav1.GetOptions{})
	if err != nil {
		namespace = &corev1.Namespace{}
	}
	for _, key := range []string{annotation.Rev, annotation.Injection} { // the second takes precedence
		if value, ok := namespace.Labels[key]; ok {
			c.Label = key + "=" + value
		}
	}
	for i := range configuration.Webhooks {
		w := &configuration.Webhooks[i]
		c.Published = c.Published && len(w.ClientConfig.CABundle) > 0
		c.Current = c.Current && (bundle == "" || bundle == string(w.ClientConfig.CABundle))
		c.Ignored = c.Ignored && w.FailurePolicy != nil && *w.FailurePolicy == admissionregistrationv1.Ignore
		c.Selected = c.Selected || matches(w.NamespaceSelector, namespace.Labels) && matches(w.ObjectSelector, nil)
	}
}

func matches(s *metav1.LabelSelector, set map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(set))
}

// notReady is why a replica is not ready, or nothing for one that is.
func notReady(p *corev1.Pod) []lifecycle.Pod {
	out := lifecycle.Pod{Name: p.Name, Reason: string(p.Status.Phase), Message: p.Status.Message}
	for _, condition := range p.Status.Conditions {
		switch {
		case condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue:
			return nil
		case condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse:
			out.Reason, out.Message = condition.Reason, condition.Message
		}
	}
	for _, s := range p.Status.ContainerStatuses {
		switch {
		case s.State.Waiting != nil:
			out.Reason, out.Message = s.State.Waiting.Reason, s.State.Waiting.Message
		case s.State.Terminated != nil:
			out.Reason, out.Message = s.State.Terminated.Reason, fmt.Sprintf("exit code %d", s.State.Terminated.ExitCode)
		case s.State.Running != nil && !s.Ready:
			out.Reason, out.Message = "not ready", "it runs, and its readiness probe fails"
		}
	}
	return []lifecycle.Pod{out}
}
