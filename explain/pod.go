package explain

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/redirect"
)

// Subject is the pod that is explained: a pod of a cluster, or the pod template of a
// workload.
type Subject struct {
	Object
	inject.Template
	Manifest Manifest

	pod     corev1.Pod // decoded
	decoded bool       // without an error
}

// SubjectOf is a pod of a cluster, as it was when it was created, as far as that is known:
// without its status, and without a name that the API server has generated.
func SubjectOf(p *corev1.Pod) (Subject, error) {
	s := Subject{Object: Object{Kind: "Pod", Namespace: p.Namespace, Name: p.Name}, decoded: true}
	s.pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	s.pod.ObjectMeta, s.pod.Spec = p.ObjectMeta, p.Spec
	m := &s.pod.ObjectMeta
	m.ManagedFields, m.UID, m.ResourceVersion, m.Generation, m.CreationTimestamp = nil, "", "", 0, metav1.Time{}
	if m.GenerateName != "" {
		m.Name = ""
	}
	s.pod.Spec.NodeName = ""
	text, err := json.Marshal(&s.pod)
	if err != nil {
		return s, fmt.Errorf("encode pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	s.Template = inject.Template{Owner: inject.Owner{APIVersion: "v1", Kind: "Pod", Name: p.Name}, Namespace: p.Namespace, Pod: text}
	return s, nil
}

// NewSubject reads an object's JSON; false for a kind without a pod template.
func NewSubject(object []byte) (Subject, bool, error) {
	t, ok, err := inject.FindTemplate(object)
	if err != nil || !ok {
		return Subject{}, false, err
	}
	s := Subject{Object: Object{Kind: t.Owner.Kind, Namespace: t.Namespace, Name: t.Owner.Name}, Template: t}
	// What is of the wrong type is reported by the injection.
	_ = json.Unmarshal(t.Pod, &s.pod)
	return s, true, nil
}

func (s Subject) labels() map[string]string { return s.pod.Labels }

// path is a path of the pod in the object.
func (s Subject) path(path string) string {
	if s.Pointer == "" {
		if owner := metav1.GetControllerOf(&s.pod); owner != nil {
			return path + " of the pod template of its workload (" + owner.Kind + " " + owner.Name + ")"
		}
		return path
	}
	return strings.ReplaceAll(strings.TrimPrefix(s.Pointer, "/"), "/", ".") + "." + path
}

// Decoded is the pod of the subject.
func (s Subject) Decoded() *corev1.Pod { return &s.pod }

// Inject injects the pod as it is now. The result is nil where the pod is denied.
func (s Subject) Inject(c Input) (*inject.Result, Decision) {
	q := inject.Request{
		Pod: s.Pod, Namespace: c.Namespace.Name, NamespaceAnnotations: c.Namespace.Annotations, Owner: s.owner(), Claims: s.Claims,
	}
	if s.decoded {
		q.Decoded = &s.pod
	}
	result, err := c.Injector.Inject(q)
	return result, s.decision(c, result, err)
}

func (s Subject) owner() inject.Owner {
	if s.Pointer == "" {
		return inject.Owner{}
	}
	return s.Owner
}

// decision is the second stage.
func (s Subject) decision(c Input, r *inject.Result, err error) Decision {
	var rejected *inject.Error
	if errors.As(err, &rejected) {
		d := Decision{Result: Denied, Rule: Rule{ID: rejected.Code, Text: "the pod is denied", Source: "pod"}, Problems: rejected.Problems.Strings()}
		if len(rejected.Problems) > 0 {
			p := rejected.Problems[0]
			d.Rule.Path, d.Rule.Fix = p.Path, p.Fix
		}
		return d
	}
	out := Decision{Result: Skipped, Rule: s.decisionRule(c, r.Decision)}
	if r.Decision.Inject {
		out.Result = Injected
	}
	return out
}

// decisionRule is the rule of a decision, with its place and what changes it.
func (s Subject) decisionRule(c Input, d inject.Decision) Rule {
	rule := Rule{ID: string(d.Reason), Text: d.Sentence, Source: "pod", Path: s.path(d.By)}
	switch d.Reason {
	case inject.ReasonLabelTrue, inject.ReasonLabelFalse:
		rule.Source, rule.Path = d.By, s.path("metadata.labels")
		rule = s.Manifest.onField(rule, document.Join(rule.Path, annotation.Inject))
	case inject.ReasonAnnotationTrue, inject.ReasonAnnotationFalse:
		rule.Source, rule.Path = d.By, s.path("metadata.annotations")
		rule = s.Manifest.onField(rule, document.Join(rule.Path, annotation.Inject))
	case inject.ReasonNeverSelector, inject.ReasonAlwaysSelector:
		rule = rule.at(c.Texts.configSource(), c.Texts.Config, d.By)
	case inject.ReasonPolicyEnabled, inject.ReasonPolicyDisabled:
		rule = c.Texts.policy(rule)
	case inject.ReasonIgnoredNamespace:
		rule.Source, rule.Path = sourceBuiltIn, ""
	default:
		rule = s.Manifest.on(rule)
	}
	rule.Fix = s.decisionFix(d)
	return rule
}

// policy is the place of the policy: of the injection configuration, or else of the values.
func (t Texts) policy(r Rule) Rule {
	const path = "policy"
	if found := r.at(t.configSource(), t.Config, path); found.Source != sourceDefault {
		return found
	}
	if found := r.at(t.valuesSource(), t.Values, "global.proxy.autoInject"); found.Source != sourceDefault {
		return found
	}
	return r.at(t.configSource(), "", path)
}

// decisionFix is what reverses a decision.
func (s Subject) decisionFix(d inject.Decision) string {
	const in, out = `set the label sidecar.istio.io/inject: "true" in `, `set the label sidecar.istio.io/inject: "false" in `
	labels := s.path("metadata.labels")
	switch d.Reason {
	case inject.ReasonHostNetwork:
		return "remove " + s.path(d.By)
	case inject.ReasonIgnoredNamespace:
		return "use another namespace"
	case inject.ReasonWindows, inject.ReasonNoContainers:
		return ""
	case inject.ReasonLabelFalse, inject.ReasonLabelTrue:
		return "remove the label sidecar.istio.io/inject from " + labels
	case inject.ReasonAnnotationFalse, inject.ReasonAnnotationTrue:
		return "remove the annotation sidecar.istio.io/inject from " + s.path("metadata.annotations")
	case inject.ReasonNeverSelector, inject.ReasonPolicyDisabled:
		return in + labels
	}
	return out + labels
}

// running is what a running pod was injected with; nil for a pod template.
func (s Subject) running(c Input) (*Running, map[string]inject.Setting) {
	if s.Pointer != "" || s.pod.Spec.NodeName == "" && s.pod.Status.Phase == "" {
		return nil, nil
	}
	with, ok := inject.InjectedWith(s.pod.Annotations)
	return &Running{Injected: ok, Revision: with.Revision, ConfigHash: with.ConfigHash, Current: ok && with.ConfigHash == c.Injector.Hash()}, with.Effective
}

// settings are those of a pod that is created now, with what the running one has.
func (s Subject) settings(c Input, r *inject.Result, running map[string]inject.Setting) []Setting {
	out := []Setting{}
	if r == nil || r.Settings == nil {
		return out
	}
	for _, e := range r.Settings.List {
		shown := setting(e.Name, e.Value, s.Place(c.Texts, e))
		shown.Evidence = e.Origin().Evidence
		if had, ok := running[e.Name]; ok && had.Value != e.Value {
			shown.Running = &had.Value
		}
		out = append(out, shown)
	}
	return append(out, s.further(c, r.Settings)...)
}

// redirection is the redirect of a pod: that of a running one, or else that of one which is
// created now. It is nil where the pod has none, with the reason.
type redirection struct {
	subject  Subject
	config   redirect.Config
	plan     redirect.Plan
	settings map[string]inject.Setting // of the redirect, by name
	uid      uint32                    // of the application
	own      []string                  // addresses of the pod
}

// redirection is that of the init container's arguments.
func (s Subject) redirection(r *inject.Result, running *Running, had map[string]inject.Setting) (*redirection, string) {
	pod, settings := s.pod, map[string]inject.Setting{}
	if r != nil && r.Settings != nil {
		for _, e := range r.Settings.List {
			settings[e.Name] = e
		}
	}
	switch {
	case running != nil && !running.Injected:
		return nil, "the running pod has no sidecar"
	case running != nil:
		for name, e := range had {
			settings[name] = e
		}
	case r == nil || r.Settings == nil:
		return nil, "the pod is not injected"
	case r.Tree() != nil:
		pod = corev1.Pod{}
		if err := json.Unmarshal(r.Tree().AppendTo(nil), &pod); err != nil {
			return nil, "the injected pod cannot be decoded: " + err.Error()
		}
	}
	i := slices.IndexFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == "istio-init" })
	if i < 0 {
		return nil, "the pod has no init container istio-init"
	}
	init := pod.Spec.InitContainers[i]
	config, _, err := redirect.ParseArgs(init.Args, func(name string) string {
		for _, e := range init.Env {
			if e.Name == name {
				return e.Value
			}
		}
		return ""
	})
	if err != nil {
		return nil, "the arguments of istio-init are invalid: " + err.Error()
	}
	out := &redirection{subject: s, config: config, plan: redirect.NewPlan(config, redirect.Inet), settings: settings, uid: userOf(&pod)}
	for _, ip := range s.pod.Status.PodIPs {
		out.own = append(out.own, ip.IP)
	}
	return out, ""
}

// userOf is the user of the application, or root where the image decides.
func userOf(pod *corev1.Pod) uint32 {
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		if c.Name == "istio-proxy" {
			continue
		}
		if c.SecurityContext != nil && c.SecurityContext.RunAsUser != nil {
			return uint32(*c.SecurityContext.RunAsUser)
		}
		break
	}
	if sc := pod.Spec.SecurityContext; sc != nil && sc.RunAsUser != nil {
		return uint32(*sc.RunAsUser)
	}
	return 0
}
