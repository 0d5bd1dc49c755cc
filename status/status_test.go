package status_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/status"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// at is the time of all reports.
var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func settings(t testing.TB, texts config.Texts) status.Settings {
	t.Helper()
	all := explain.Texts{Texts: texts, Labels: config.Labels{Config: "CONFIG", Values: "VALUES", Mesh: "MESH"}}
	cfg, problems := config.Parse(texts, all.Labels)
	kit.Must(t, problems.Err())
	injector, problems := inject.Compile(cfg, inject.Environment{})
	kit.Must(t, problems.Err())
	return status.Settings{Injector: injector, Texts: all}
}

func values(text string) config.Texts {
	return config.Texts{Values: "global:\n  proxy:\n    " + text + "\n"}
}

// pod is a pod of a Deployment in namespace shop.
func pod(deployment, suffix string, annotations map[string]string) *corev1.Pod {
	yes := true
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: deployment + "-5c4-" + suffix, GenerateName: deployment + "-5c4-", UID: types.UID(deployment + suffix),
		Labels: map[string]string{"app": deployment, "pod-template-hash": "5c4"}, Annotations: annotations,
		CreationTimestamp: metav1.NewTime(at.Add(-time.Hour)),
		OwnerReferences:   []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: deployment + "-5c4", Controller: &yes}},
	}}
	p.Spec.Containers = []corev1.Container{{Name: "app", Image: "app"}}
	p.Status.Phase = corev1.PodRunning
	return p
}

// started is a pod as it runs after an injection: with what the API server and the kubelet add.
func started(t testing.TB, s status.Settings, p *corev1.Pod) *corev1.Pod {
	t.Helper()
	before := p.DeepCopy()
	before.Name, before.UID = "", ""
	text, err := json.Marshal(before)
	kit.Must(t, err)
	r, err := s.Injector.Inject(inject.Request{Pod: text, Namespace: p.Namespace})
	kit.Must(t, err)
	out := &corev1.Pod{}
	kit.Must(t, json.Unmarshal(r.Tree().AppendTo(nil), out))
	out.Name, out.UID, out.Spec.NodeName, out.Status = p.Name, p.UID, "node", p.Status
	for _, list := range [][]corev1.Container{out.Spec.InitContainers, out.Spec.Containers} {
		for i := range list {
			c := &list[i]
			c.TerminationMessagePath, c.TerminationMessagePolicy, c.ImagePullPolicy = "/dev/termination-log", "File", "IfNotPresent"
			for _, probe := range []*corev1.Probe{c.StartupProbe, c.ReadinessProbe} {
				if probe != nil {
					probe.SuccessThreshold, probe.HTTPGet.Scheme = 1, "HTTP"
				}
			}
			if c.Name == "app" {
				c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "kube-api-access-x", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"})
			}
		}
	}
	out.Spec.Volumes = append(out.Spec.Volumes, corev1.Volume{Name: "kube-api-access-x"})
	out.Spec.ServiceAccountName = "default"
	return out
}

// input is a comparison with settings, in a namespace with a label.
func input(s status.Settings) status.Input {
	c := registration.Options{Namespace: "istio-system", Service: "outrider"}.Mutating()
	c.CreationTimestamp = metav1.NewTime(at.Add(-48 * time.Hour))
	n := status.Namespace{Namespace: explain.Namespace{Name: "shop", Known: true, Labels: map[string]string{"istio-injection": "enabled", "kubernetes.io/metadata.name": "shop"}}}
	n.Managed = []metav1.ManagedFieldsEntry{{Manager: "kubectl-label", Time: &metav1.Time{Time: at.Add(-24 * time.Hour)}, FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{"f:istio-injection":{}}}}`)}}
	return status.Input{
		Settings: s, Active: status.Active{Hash: s.Injector.Hash(), Source: "configmap"},
		Registered: explain.Registered{Configurations: []admissionregistrationv1.MutatingWebhookConfiguration{*c}, Service: "istio-system/outrider", Name: "outrider-sidecar-injector"},
		Namespaces: map[string]status.Namespace{"shop": n},
	}
}

func collect(t *testing.T, in status.Input, pods ...*corev1.Pod) *status.Collector {
	t.Helper()
	c, counter := status.NewCollector(in, at), status.NewCounter(in, at)
	for _, p := range pods {
		kit.Must(t, c.Add(p))
		counter.Add(p)
	}
	want := c.Report().Summary
	want.Workloads = 0 // not counted
	if got := counter.Summary(); got != want || counter.Failed() != 0 {
		t.Errorf("a Counter counts %+v and %d failed, a Collector %+v", got, counter.Failed(), want)
	}
	return c
}

// shown are the workloads of a report with their differences.
func shown(r status.Report) (out []string) {
	for _, w := range r.Workloads {
		var all []string
		for _, d := range w.Differences {
			all = append(all, fmt.Sprintf("%s=%s->%s", d.Name, d.Was, d.Is))
		}
		out = append(out, fmt.Sprintf("%s/%s %d %s: %s", w.Kind, w.Name, len(w.Pods), w.Result, strings.Join(all, " ")))
	}
	return out
}

// TestStale: a workload is stale if a pod that is created now differs from those that run,
// and for no other reason.
func TestStale(t *testing.T) {
	base := settings(t, config.Texts{})
	own := map[string]string{"traffic.sidecar.istio.io/includeOutboundIPRanges": "10.0.0.0/8"}
	pods := []*corev1.Pod{
		started(t, base, pod("a", "1", nil)), started(t, base, pod("a", "2", nil)), started(t, base, pod("b", "1", own)),
	}
	for _, tt := range []struct {
		name  string
		texts config.Texts
		want  []string
	}{
		{"the same", config.Texts{}, nil},
		{"a comment", values("# nothing\n    excludeIPRanges: ''"), nil},
		{"a key that no pod depends on", values("tracer: zipkin"), nil},
		{"a template that no pod uses", config.Texts{Config: "templates: {other: 'spec: {}'}\n"}, nil},
		{"the mesh's policy", config.Texts{Mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"}, nil},
		{"ranges", values("includeIPRanges: 10.9.0.0/16"), []string{"Deployment/a 2 injected: includeOutboundIPRanges=*->10.9.0.0/16"}},
		{"excluded ranges", values("excludeIPRanges: 10.9.0.0/16"), []string{
			"Deployment/a 2 injected: excludeOutboundIPRanges=->10.9.0.0/16", "Deployment/b 1 injected: excludeOutboundIPRanges=->10.9.0.0/16",
		}},
		{"an image", values("image: example.com/envoy:1"), []string{
			"Deployment/a 2 injected: proxyImage=default->example.com/envoy:1", "Deployment/b 1 injected: proxyImage=default->example.com/envoy:1",
		}},
		{"a variable", config.Texts{Mesh: "defaultConfig: {proxyMetadata: {A: b}}\n"}, []string{
			"Deployment/a 2 injected: istio-proxy: env=->", "Deployment/b 1 injected: istio-proxy: env=->",
		}},
		{"an annotation", config.Texts{Config: "injectedAnnotations: {a: b}\n"}, []string{
			"Deployment/a 2 injected: annotation a=->b", "Deployment/b 1 injected: annotation a=->b",
		}},
		{"a selector", config.Texts{Config: "neverInjectSelector: [{matchLabels: {app: b}}]\n"}, []string{"Deployment/b 1 skipped: decision=injected->skipped"}},
		{"a template with a constant that pods do not have any more", config.Texts{Config: "defaultTemplates: [sidecar, more]\ntemplates: {more: '{}'}\n"}, []string{
			"Deployment/a 2 injected: templates=default->sidecar,more", "Deployment/b 1 injected: templates=default->sidecar,more",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := collect(t, input(settings(t, tt.texts)), pods...).Report()
			if got := shown(r); !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			for _, w := range r.Workloads {
				if want := "kubectl rollout restart -n shop deployment/" + w.Name; w.Command != want {
					t.Errorf("%s: %q", w.Name, w.Command)
				}
			}
			if r.Summary.Pods != 3 || r.Summary.Injected != 3 || r.Summary.Workloads != 2 {
				t.Errorf("%+v", r.Summary)
			}
		})
	}
}

// TestDenied: pods that could not be created again are no workloads to restart.
func TestDenied(t *testing.T) {
	named := "global: {namedRanges: {db: 10.1.0.0/16}}\n"
	base := settings(t, config.Texts{Values: named})
	p := started(t, base, pod("a", "1", map[string]string{"traffic.sidecar.istio.io/excludeOutboundIPRanges": "db"}))
	r := collect(t, input(settings(t, config.Texts{})), p).Report()
	if len(r.Workloads) != 1 || r.Workloads[0].Result != status.Denied || r.Workloads[0].Command != "" || len(r.Workloads[0].Problems) != 1 {
		t.Fatalf("%+v", r.Workloads)
	}
	if text := r.Text(status.Style{Now: at}); !strings.Contains(text, "denied: annotation traffic.sidecar.istio.io/excludeOutboundIPRanges") || strings.Contains(text, "kubectl rollout") {
		t.Error(text)
	}
}

// TestMissing: a pod without a sidecar has the cause that there is evidence for.
func TestMissing(t *testing.T) {
	base := settings(t, config.Texts{})
	ignore := admissionregistrationv1.Ignore
	older := func(in *status.Input, texts config.Texts, at time.Time) {
		s := settings(t, texts)
		in.Earlier = []status.Earlier{
			{Time: at, Hash: "new", Known: func(string) bool { return false }, Compile: func() *inject.Injector { return base.Injector }},
			{Time: at.Add(-240 * time.Hour), Hash: "old", Known: func(string) bool { return false }, Compile: func() *inject.Injector { return s.Injector }},
		}
	}
	for name, tt := range map[string]struct {
		change func(*status.Input, *corev1.Pod)
		id     string
		text   string
	}{
		"the namespace's label": {func(in *status.Input, _ *corev1.Pod) {
			in.Namespaces["shop"].Managed[0].Time = &metav1.Time{Time: at.Add(-time.Minute)}
		}, status.LabelLater, "the label istio-injection of namespace shop was written at 2026-03-01T11:59:00Z by kubectl-label, after the pod was created"},
		"a manager of more": {func(in *status.Input, _ *corev1.Pod) {
			m := &in.Namespaces["shop"].Managed[0]
			m.Time = &metav1.Time{Time: at.Add(-time.Minute)}
			m.FieldsV1 = metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{".":{},"f:a":{},"f:istio-injection":{}}}}`)
		}, status.LabelLater, "or another field of this manager was"},
		"the pod's label": {func(in *status.Input, p *corev1.Pod) {
			n := in.Namespaces["shop"]
			n.Labels = map[string]string{"kubernetes.io/metadata.name": "shop"}
			in.Namespaces["shop"] = n
			p.Labels["sidecar.istio.io/inject"] = "true"
			p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl-label", Time: &metav1.Time{Time: at}, FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{"f:sidecar.istio.io/inject":{}}}}`)}}
		}, status.LabelLater, "the label sidecar.istio.io/inject of the pod was written"},
		"the webhook": {func(in *status.Input, _ *corev1.Pod) {
			in.Registered.Configurations[0].CreationTimestamp = metav1.NewTime(at)
		}, status.RegisteredLater, "MutatingWebhookConfiguration outrider-sidecar-injector was created at 2026-03-01T12:00:00Z, after the pod"},
		"the settings": {func(in *status.Input, _ *corev1.Pod) {
			older(in, config.Texts{Config: "policy: disabled\n"}, at)
		}, status.SkippedThen, "configuration old, which was active when the pod was created, did not inject it: the policy is disabled"},
		"settings that injected": {func(in *status.Input, _ *corev1.Pod) { older(in, config.Texts{}, at) }, status.UnknownCause, "is Fail"},
		"no evidence": {func(in *status.Input, _ *corev1.Pod) {
			for i := range in.Registered.Configurations[0].Webhooks {
				in.Registered.Configurations[0].Webhooks[i].FailurePolicy = &ignore
			}
		}, status.UnknownCause, "unknown; the failurePolicy of the webhook is Ignore"},
	} {
		t.Run(name, func(t *testing.T) {
			in, p := input(base), pod("a", "1", nil)
			tt.change(&in, p)
			r := collect(t, in, p, started(t, base, pod("b", "1", nil))).Report()
			if len(r.Missing) != 1 || r.Summary.Missing != 1 {
				t.Fatalf("%+v", r)
			}
			if m := r.Missing[0]; m.Name != "a" || m.Cause.ID != tt.id || !strings.Contains(m.Cause.Text, tt.text) || m.Command != "kubectl rollout restart -n shop deployment/a" {
				t.Errorf("%+v", m)
			}
		})
	}
	skipped := pod("a", "1", map[string]string{"sidecar.istio.io/inject": "false"})
	elsewhere := pod("c", "1", nil)
	elsewhere.Namespace = "other"
	host := pod("d", "1", nil)
	host.Spec.HostNetwork = true
	ended := pod("e", "1", nil)
	ended.Status.Phase = corev1.PodSucceeded
	in := input(base)
	in.Namespaces["other"] = status.Namespace{Namespace: explain.Namespace{Name: "other", Known: true}}
	if r := collect(t, in, skipped, elsewhere, host, ended).Report(); len(r.Missing) != 0 || r.Summary.Pods != 3 {
		t.Errorf("pods that need no sidecar: %+v", r)
	}
}

// TestSince: the time of the first settings that differ from those of the pods.
func TestSince(t *testing.T) {
	first, second, third := settings(t, config.Texts{}), settings(t, values("includeIPRanges: 10.0.0.0/8")), settings(t, values("includeIPRanges: 10.0.0.0/8\n    tracer: zipkin"))
	earlier := func(hours int, s status.Settings) status.Earlier {
		return status.Earlier{Time: at.Add(-time.Duration(hours) * time.Hour), Hash: s.Injector.Hash(), Known: func(h string) bool { return h == s.Injector.Hash() }, Compile: func() *inject.Injector { return s.Injector }}
	}
	p := started(t, first, pod("a", "1", nil))
	p.CreationTimestamp = metav1.NewTime(at.Add(-100 * time.Hour))
	for name, tt := range map[string]struct {
		all  []status.Earlier
		want time.Time
	}{
		"the newest differs in nothing": {[]status.Earlier{earlier(1, third), earlier(2, second), earlier(9, first)}, at.Add(-2 * time.Hour)},
		"the first is not stored":       {[]status.Earlier{earlier(1, third), earlier(2, second)}, at.Add(-2 * time.Hour)},
		"one in between was the same":   {[]status.Earlier{earlier(1, second), earlier(2, first), earlier(3, second)}, at.Add(-time.Hour)},
		"before the pods":               {[]status.Earlier{earlier(200, second)}, time.Time{}},
		"nothing is stored":             {nil, time.Time{}},
	} {
		in := input(third)
		in.Earlier = tt.all
		r := collect(t, in, p).Report()
		if len(r.Workloads) != 1 || !r.Workloads[0].Since.Equal(tt.want) {
			t.Errorf("%s: %+v", name, r.Workloads)
		}
	}
}
