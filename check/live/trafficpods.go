package live

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/check"
	"github.com/outrider-mesh/outrider/check/probe"
	"github.com/outrider-mesh/outrider/lifecycle"
	lifecyclelive "github.com/outrider-mesh/outrider/lifecycle/live"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

const (
	httpPort, tlsPort = 80, 443

	serverContainer = "server"
	clientContainer = "client"
	kernelContainer = "kernel"

	untilAnnotation = annotation.CheckUntil
)

func labelsOf(id string) map[string]string { return map[string]string{annotation.CheckRun: id} }

// chooseImage is the image that the cluster runs already, unless another one is configured.
func (r *run) chooseImage(ctx context.Context) {
	if r.facts.Image = r.Image; r.Image != "" {
		return
	}
	r.facts.Image = r.Fallback
	d, err := r.client.AppsV1().Deployments(r.Installation.Namespace).Get(ctx, r.Name(lifecycle.Deployment), metav1.GetOptions{})
	if err == nil && len(d.Spec.Template.Spec.Containers) > 0 {
		r.facts.Image = d.Spec.Template.Spec.Containers[0].Image
	}
}

// namespace creates the namespace, or takes the one that is given.
func (r *run) namespace(ctx context.Context) error {
	if r.facts.Namespace = r.In; r.In != "" {
		return nil
	}
	r.facts.Namespace, r.facts.Own = "outrider-check-"+r.id, true
	meta := r.owned(r.facts.Namespace)
	// As a user labels a namespace for injection; a level that the cluster has by default
	// would reject istio-init.
	if meta.Labels["pod-security.kubernetes.io/enforce"] = "privileged"; r.Revision == "" || r.Revision.String() == "default" {
		meta.Labels[annotation.Injection] = "enabled"
	} else {
		meta.Labels[annotation.Rev] = r.Revision.String()
	}
	r.created.namespace = meta.Name
	return r.stopped(ctx, "create namespace "+meta.Name, r.create(ctx, func(ctx context.Context) error {
		_, err := r.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: meta}, metav1.CreateOptions{})
		return err
	}))
}

// createTimeout bounds the creation of an object: the API server waits up to 30 s for a
// webhook, ours for 5 s.
const createTimeout = 35 * time.Second

// create creates an object, and does not give it up on an interrupt: what is created is
// removed, and it must be known whether it is.
func (r *run) create(ctx context.Context, object func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
	defer cancel()
	return object(ctx)
}

// stopped is the error of a step, with what to do.
func (r *run) stopped(_ context.Context, step string, err error) error {
	if err == nil {
		return nil
	}
	return &check.Stop{What: "It failed to " + step + ": " + err.Error(), Fix: "see the API server's message"}
}

// name is that of an object in the namespace, which may be one that has others.
func (r *run) name(part string) string {
	if r.facts.Own {
		return part
	}
	return "outrider-check-" + r.id + "-" + part
}

// restricted is what Pod Security's level restricted requires.
func restricted() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
		Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

// container runs a part of the program, with requests and limits, which a quota may require.
func (r *run) container(name string, security *corev1.SecurityContext, args ...string) corev1.Container {
	return corev1.Container{
		Name: name, Image: r.facts.Image, ImagePullPolicy: corev1.PullIfNotPresent, Args: append([]string{"probe"}, args...), SecurityContext: security,
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
		},
	}
}

// pod is a pod that ends by itself when the run has ended, also if nobody removes it.
func (r *run) podOf(part string, containers ...corev1.Container) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: r.owned(r.name(part))}
	p.Namespace = r.facts.Namespace
	p.Spec = corev1.PodSpec{
		Containers: containers, RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false),
		TerminationGracePeriodSeconds: new(int64(1)), ActiveDeadlineSeconds: new(int64((r.Timeout + cleanupTimeout).Seconds())),
		NodeSelector: map[string]string{corev1.LabelOSStable: "linux"},
	}
	return p
}

// startServer starts the pod that plays the external service, outside the mesh.
func (r *run) startServer(ctx context.Context) error {
	c := r.container(serverContainer, restricted(), "server", "--token", r.token)
	c.ReadinessProbe = &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(httpPort)}}, PeriodSeconds: 1, TimeoutSeconds: 2,
	}
	pod := r.podOf("server", c)
	pod.Labels[annotation.Inject] = "false"
	// A safe sysctl, which the level restricted allows: the ports are those of real services.
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}}}
	var err error
	if r.server, err = r.createPod(ctx, pod); err != nil {
		return r.rejected(ctx, pod, err)
	}
	if r.server, err = r.wait(ctx, r.server, serverContainer, func(p *corev1.Pod) bool { return ready(p) && p.Status.PodIP != "" }); err != nil {
		return err
	}
	for _, ip := range r.server.Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil {
			r.addresses = append(r.addresses, a.Unmap())
		}
	}
	return nil
}

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// accountWait is how long a new namespace may take to have its default service account,
// without which no pod is admitted.
const accountWait = 15 * time.Second

func (r *run) createPod(ctx context.Context, pod *corev1.Pod) (out *corev1.Pod, err error) {
	for began := time.Now(); ; sleep(ctx, pollEvery) {
		err = r.create(ctx, func(ctx context.Context) error {
			out, err = r.client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
			return err
		})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "error looking up service account") || time.Since(began) > accountWait {
			break
		}
	}
	if err == nil {
		r.created.pods = append(r.created.pods, out.Name)
	}
	return out, err
}

// declare declares a host whose endpoint is the server; false, with a note, where that is not
// possible.
func (r *run) declare(ctx context.Context) bool {
	meta := r.owned(r.name("declared"))
	entry := &unstructured.Unstructured{Object: map[string]any{
		"kind": "ServiceEntry",
		"spec": map[string]any{
			"hosts": []any{r.declared()}, "exportTo": []any{"."}, "location": "MESH_EXTERNAL", "resolution": "STATIC",
			"ports": []any{
				map[string]any{"number": int64(httpPort), "name": "http", "protocol": "HTTP"},
				map[string]any{"number": int64(tlsPort), "name": "https", "protocol": "HTTPS"},
			},
			"endpoints": []any{map[string]any{"address": r.addresses[0].String()}},
		},
	}}
	entry.SetName(meta.Name)
	entry.SetLabels(meta.Labels)
	entry.SetAnnotations(meta.Annotations)
	var err error
	for _, version := range registration.NetworkingVersions() {
		gvr := schema.GroupVersionResource{Group: "networking.istio.io", Version: version, Resource: "serviceentries"}
		entry.SetAPIVersion(gvr.GroupVersion().String())
		err = r.create(ctx, func(ctx context.Context) error {
			_, err := r.dynamic.Resource(gvr).Namespace(r.facts.Namespace).Create(ctx, entry, metav1.CreateOptions{})
			return err
		})
		if !apierrors.IsNotFound(err) {
			r.created.entry, r.created.entries = meta.Name, gvr
			break
		}
	}
	if err != nil {
		r.created.entry = ""
		r.note("a declared host was not tried: create ServiceEntry: " + err.Error())
	}
	return err == nil
}

// start creates the pod of a client, which must be injected.
func (r *run) start(ctx context.Context, c *client) error {
	probes, err := json.Marshal(c.probes)
	if err != nil {
		return fmt.Errorf("encode the connections: %w", err)
	}
	args := []string{"client", string(probes)}
	pod := r.podOf(c.name, r.container(clientContainer, restricted(), args...))
	for key, value := range c.annotations {
		pod.Annotations[key] = value
	}
	pod.Labels[annotation.Inject] = "true" // with policy disabled, too
	if !r.facts.Own && r.Revision != "" {
		pod.Labels[annotation.Rev] = r.Revision.String()
	}
	plain := pod.DeepCopy()
	if !r.NoKernel {
		pod.Spec.Containers[0].Args = append(pod.Spec.Containers[0].Args, "--kernel", probe.Kernel)
		pod.Spec.Containers = append(pod.Spec.Containers, r.container(kernelContainer, netAdmin(), "kernel"))
	}
	c.pod, err = r.createPod(ctx, pod)
	if apierrors.IsForbidden(err) && !r.NoKernel {
		var second error
		if c.pod, second = r.createPod(ctx, plain); second == nil {
			r.note("the kernel's counters are not read, as a container with NET_ADMIN for it is rejected: " + err.Error())
			err = nil
		}
	}
	if err != nil {
		return r.rejected(ctx, pod, err)
	}
	if c.pod.Annotations[annotation.SidecarStatus] == "" {
		return r.notInjected(ctx, c)
	}
	return nil
}

// netAdmin may read the rules of the pod's network namespace, as istio-init may write them.
func netAdmin() *corev1.SecurityContext {
	s := restricted()
	s.RunAsNonRoot, s.RunAsUser, s.Capabilities.Add = new(false), new(int64(0)), []corev1.Capability{"NET_ADMIN"}
	return s
}

// rejected explains why the API server rejects a pod.
func (r *run) rejected(ctx context.Context, pod *corev1.Pod, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	_, cluster := lifecyclelive.Try(ctx, r.client, lifecyclelive.VerifyOptions{Installation: r.Installation, TestNamespace: pod.Namespace, Image: r.facts.Image})
	f := lifecycle.Explain(lifecycle.Attempt{Error: err.Error()}, cluster)
	return &check.Stop{What: f.What, Fix: f.Remedy, Details: append(f.Details, "the API server's message: "+f.ErrorOfCall)}
}

// notInjected explains why a pod was admitted without a sidecar.
func (r *run) notInjected(ctx context.Context, c *client) error {
	_, cluster := lifecyclelive.Try(ctx, r.client, lifecyclelive.VerifyOptions{Installation: r.Installation, TestNamespace: c.pod.Namespace, Image: r.facts.Image})
	f := lifecycle.Explain(lifecycle.Attempt{}, cluster)
	stop := &check.Stop{What: fmt.Sprintf("Pod %s/%s was not injected. %s", c.pod.Namespace, c.pod.Name, f.What), Fix: f.Remedy, Details: f.Details, Commands: []string{"outrider check"}}
	answer, _, err := r.Explain(ctx, c.pod, nil)
	if err != nil {
		return stop
	}
	rule := answer.Decision.Rule
	if answer.Webhook.Result == explainNotSelected {
		rule = answer.Webhook.Rule
	}
	if rule.Text != "" && answer.Result != explainInjected {
		stop.Details = append(stop.Details, rule.Text+", by "+rule.Place())
		stop.Details = append(stop.Details, answer.Decision.Problems...)
		if rule.Fix != "" {
			stop.Fix = rule.Fix
		}
	}
	return stop
}
