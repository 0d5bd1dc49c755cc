package serve

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

const excludeOne = "global:\n  proxy:\n    excludeIPRanges: 10.96.0.0/12\n"

func TestPodsAreInjected(t *testing.T) {
	i := startInstance(t, excludeOne).ready()
	ns := i.workspace()

	dry, err := i.create(ns, sleepPod("sleep"), metav1.DryRunAll)
	i.must(err)
	if !injected(dry) {
		t.Errorf("a server-side dry run shows no sidecar: %+v", dry.Spec)
	}
	if _, err := i.Client.CoreV1().Pods(ns).Get(t.Context(), "sleep", metav1.GetOptions{}); err == nil {
		t.Error("the dry run stored the pod")
	}
	pod, err := i.create(ns, sleepPod("sleep"))
	i.must(err)
	if !injected(pod) || !strings.Contains(initArguments(pod), "10.96.0.0/12") {
		t.Errorf("not injected by the configuration: %q", initArguments(pod))
	}
	stored, err := json.Marshal(pod)
	i.must(err)
	if again := i.review(ns, stored); !again.Allowed || len(again.Patch) > 0 {
		t.Errorf("a second call changes the pod: %s", again.Patch)
	}

	bad := sleepPod("bad", func(p *corev1.Pod) {
		p.Annotations["traffic.sidecar.istio.io/excludeOutboundIPRanges"] = "10.0.0.0/8,*"
	})
	_, err = i.create(ns, bad)
	if err == nil || !strings.Contains(err.Error(), "excludeOutboundIPRanges") || !strings.Contains(err.Error(), "denied the request") {
		t.Errorf("a bad annotation: %v", err)
	}
}

func TestSkippedPodsHaveReason(t *testing.T) {
	i := startInstance(t, "").ready()
	ns := i.workspace()
	for _, tt := range []struct {
		reason string
		edit   func(*corev1.Pod)
	}{
		{"annotation_false", func(p *corev1.Pod) { p.Annotations["sidecar.istio.io/inject"] = "false" }},
		{"host_network", func(p *corev1.Pod) { p.Spec.HostNetwork = true }},
		{"windows", func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} }},
	} {
		before := i.metric("sidecar_injection_requests_total", "skipped", tt.reason)
		pod, err := i.create(ns, sleepPod(strings.ReplaceAll(tt.reason, "_", "-"), tt.edit))
		i.must(err)
		if injected(pod) {
			t.Errorf("%s: injected", tt.reason)
		}
		i.counts(before+1, "sidecar_injection_requests_total", "skipped", tt.reason)
	}
	// The API server itself skips these, and does not call the webhook.
	calls := i.metric("sidecar_injection_requests_total")
	pod, err := i.create(ns, sleepPod("label-false", func(p *corev1.Pod) { p.Labels["sidecar.istio.io/inject"] = "false" }))
	i.must(err)
	if injected(pod) || i.metric("sidecar_injection_requests_total") != calls {
		t.Error("a pod with the label false reached the webhook")
	}
}

// addingWebhook is another mutating webhook, called after ours, that adds a
// container once.
func addingWebhook(t *testing.T, i *instance) (calls func() int) {
	t.Helper()
	var mu sync.Mutex
	n := 0
	const patch = `[{"op":"add","path":"/spec/containers/0","value":{"name":"late","image":"late"}},
		{"op":"add","path":"/spec/initContainers/0","value":{"name":"late-init","image":"late"}}]`
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in, out map[string]any
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Errorf("decode: %v", err)
		}
		mu.Lock()
		n++
		mu.Unlock()
		text, _ := json.Marshal(in["request"])
		response := map[string]any{"uid": in["request"].(map[string]any)["uid"], "allowed": true}
		if !strings.Contains(string(text), `"late-init"`) {
			response["patch"], response["patchType"] = []byte(patch), "JSONPatch"
		}
		out = map[string]any{"apiVersion": in["apiVersion"], "kind": in["kind"], "response": response}
		_ = json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(server.Close)
	r := registration.Options{Revision: revision.Revision(i.revision), Namespace: i.namespace, URL: server.URL, CABundle: pemOf(server)}.Mutating()
	r.Name = "zz-late-" + i.revision // webhooks are called in the order of their names
	r.Webhooks = r.Webhooks[:1]
	_, err := i.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(), r, metav1.CreateOptions{})
	i.must(err)
	t.Cleanup(func() {
		_ = i.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(context.Background(), r.Name, metav1.DeleteOptions{})
	})
	return func() int { mu.Lock(); defer mu.Unlock(); return n }
}

func TestAnotherWebhookAddsContainers(t *testing.T) {
	i := startInstance(t, excludeOne).ready()
	calls := addingWebhook(t, i)
	ns := i.workspace()
	i.eventually("the second webhook is called", func() string {
		if _, err := i.create(ns, sleepPod("probe"), metav1.DryRunAll); err != nil {
			return err.Error()
		}
		if calls() == 0 {
			return "not called"
		}
		return ""
	})
	before := i.metric("sidecar_injection_requests_total")
	pod, err := i.create(ns, sleepPod("sleep"))
	i.must(err)
	i.counts(before+2, "sidecar_injection_requests_total") // once more after the other one
	var names []string
	for _, c := range pod.Spec.InitContainers {
		names = append(names, c.Name)
	}
	if !injected(pod) || pod.Spec.Containers[0].Name != "late" || !slices.Contains(names, "late-init") {
		t.Errorf("init containers %v, containers %d", names, len(pod.Spec.Containers))
	}
	if slices.Index(names, "istio-init") > slices.Index(names, "late-init") {
		t.Errorf("the init container that came late runs before the redirect: %v", names)
	}
	stored, err := json.Marshal(pod)
	i.must(err)
	if again := i.review(ns, stored); !again.Allowed || len(again.Patch) > 0 {
		t.Errorf("one more call changes the pod: %s", again.Patch)
	}
}

// The API server drops unknown fields, so this request is sent directly to the
// webhook, as a newer API server would.
func TestUnknownFieldsArePreserved(t *testing.T) {
	i := startInstance(t, "").ready()
	in := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"new","futureMeta":{"a":1}},"spec":{
		"futureField":{"deep":[1,2,{"n":12345678901234567}]},"schedulingGroup2":"x",
		"containers":[{"name":"sleep","image":"curl","futureOfContainer":true,"env":[{"name":"A","valueNew":"b"}]}],
		"initContainers":[{"name":"setup","image":"x","futureInit":[null]}]}}`
	response := i.review("shop", []byte(in))
	if !response.Allowed {
		t.Fatalf("denied: %+v", response.Result)
	}
	patch, err := jsonpatch.DecodePatch(response.Patch)
	i.must(err)
	out, err := patch.Apply([]byte(in))
	i.must(err)
	for _, want := range []string{`"futureField":{"deep":[1,2,{"n":12345678901234567}]}`, `"futureMeta":{"a":1}`, `"schedulingGroup2":"x"`,
		`"futureOfContainer":true`, `"valueNew":"b"`, `"futureInit":[null]`, `"istio-proxy"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the injected pod lacks %s", want)
		}
	}
}

func TestWarningsReachTheClient(t *testing.T) {
	i := startInstance(t, "").ready()
	ns := i.workspace()
	var mu sync.Mutex
	var warnings []string
	c := rest.CopyConfig(i.Config)
	c.WarningHandler = warningFunc(func(text string) { mu.Lock(); warnings = append(warnings, text); mu.Unlock() })
	client, err := kubernetes.NewForConfig(c)
	i.must(err)

	pod := sleepPod("sleep")
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels}, Spec: pod.Spec}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "sleep", Annotations: map[string]string{"traffic.sidecar.istio.io/excludeOutboundIPRanges": "10.0.0.0/8"}},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: pod.Labels}, Template: template},
	}
	_, err = client.AppsV1().Deployments(ns).Create(t.Context(), deployment, metav1.CreateOptions{})
	i.must(err)
	if !strings.Contains(strings.Join(warnings, "\n"), "excludeOutboundIPRanges") {
		t.Errorf("an annotation on the Deployment instead of its template: warnings %q", warnings)
	}
	warnings = nil
	deployment.Name, deployment.Annotations = "clean", nil
	_, err = client.AppsV1().Deployments(ns).Create(t.Context(), deployment, metav1.CreateOptions{})
	i.must(err)
	if len(warnings) > 0 {
		t.Errorf("a Deployment without a fault: warnings %q", warnings)
	}
	_, err = client.CoreV1().Pods(ns).Create(t.Context(), sleepPod("junk", func(p *corev1.Pod) { p.Annotations["sidecar.istio.io/inject"] = "yes" }), metav1.CreateOptions{})
	i.must(err)
	if !strings.Contains(strings.Join(warnings, "\n"), "sidecar.istio.io/inject") {
		t.Errorf("junk in the annotation: warnings %q", warnings)
	}
}

// Workloads of other groups have pod templates, too.
func TestWarningsForRollouts(t *testing.T) {
	i := startInstance(t, "").ready()
	ns := i.workspace()
	run := func(text string, args ...string) string {
		out, err := i.kubectl(text, args...)
		if err != nil {
			t.Fatalf("kubectl %v: %v\n%s", args, err, out)
		}
		return out
	}
	run(`{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "rollouts.argoproj.io"},
		"spec": {"group": "argoproj.io", "scope": "Namespaced", "names": {"kind": "Rollout", "plural": "rollouts", "singular": "rollout"},
		"versions": [{"name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}`,
		"apply", "-f", "-")
	defer func() { _, _ = i.kubectl("", "delete", "crd", "rollouts.argoproj.io") }()
	run("", "wait", "--for=condition=Established", "--timeout=30s", "crd/rollouts.argoproj.io")
	out := run(`{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "web", "namespace": "`+ns+`",
		"annotations": {"traffic.sidecar.istio.io/excludeOutboundIPRanges": "10.0.0.0/8"}},
		"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "app"}]}}}}`, "apply", "-f", "-")
	if !strings.Contains(out, "Warning: ") || !strings.Contains(out, "excludeOutboundIPRanges") {
		t.Errorf("an annotation on the Rollout instead of its template: %q", out)
	}
}

type warningFunc func(string)

func (f warningFunc) HandleWarningHeader(_ int, _, text string) { f(text) }

func TestPodsAreDeniedWithoutTheWebhook(t *testing.T) {
	i := startInstance(t, "").ready()
	ns := i.workspace()
	i.replica.Cancel()
	if err := i.replica.Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := i.create(ns, sleepPod("sleep")); err == nil || !strings.Contains(err.Error(), "failed calling webhook") {
		t.Errorf("a pod was admitted without having been looked at: %v", err)
	}
	// Workloads do not depend on the webhook.
	pod := sleepPod("x")
	_, err := i.Client.AppsV1().Deployments(ns).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "sleep"},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: pod.Labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels}, Spec: pod.Spec}},
	}, metav1.CreateOptions{})
	i.must(err)
}

func TestLeavingReplicaGoesOnAnswering(t *testing.T) {
	i := startInstance(t, "").ready()
	i.replica.Cancel()
	i.eventually("the replica is not ready", func() string {
		if i.readyz() == "" {
			return "still ready"
		}
		return ""
	})
	if got := i.review("shop", []byte(`{"kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"a","image":"a"}]}}`)); !got.Allowed {
		t.Errorf("denied while shutting down: %+v", got.Result)
	}
	select {
	case <-i.replica.Done():
		err := i.replica.Err()
		i.must(err)
	case <-time.After(15 * time.Second):
		t.Error("the server did not end")
	}
}

func pemOf(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}
