package explain

import (
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// Namespace is the pod's namespace.
type Namespace struct {
	Name   string
	Labels map[string]string
	// Annotations are passed to the injection.
	Annotations map[string]string
	// Known is false where it was not read.
	Known bool
}

// Registered are the webhooks of the cluster.
type Registered struct {
	Configurations []admissionregistrationv1.MutatingWebhookConfiguration
	// Service is the injector's own Service, NAMESPACE/NAME, and Name the name of its
	// configuration.
	Service, Name string
	// Unread is why they were not read; empty where they were.
	Unread string
}

// own reports whether a webhook is the injector's.
func (r Registered) own(c *admissionregistrationv1.MutatingWebhookConfiguration, w *admissionregistrationv1.MutatingWebhook) bool {
	if s := w.ClientConfig.Service; s != nil {
		return s.Namespace+"/"+s.Name == r.Service
	}
	return c.Name == r.Name
}

// entry is one webhook, with the requirements that keep it from the pod.
type entry struct {
	name    string
	rule    string         // what it selects by, where it selects the pod
	label   string         // the same: the label's key
	ofPod   bool           // it is the pod's
	failing []failedLabels // none: it selects the pod
	// conditions are the names of its matchConditions
	conditions []string
}

// failedLabels is a requirement that labels do not meet.
type failedLabels struct {
	requirement labels.Requirement
	ofNamespace bool
}

// Selection evaluates the selectors of the registered webhooks for the pod.
func (s Subject) Selection(n Namespace, r Registered) Webhook {
	if r.Unread != "" || !n.Known {
		why := r.Unread
		if why == "" {
			why = "the labels of namespace " + n.Name + " are unknown"
		}
		return Webhook{Result: Unknown, Rule: Rule{ID: "not_read", Text: why, Source: "MutatingWebhookConfiguration"}}
	}
	var out Webhook
	var ours []entry
	for i := range r.Configurations {
		c := &r.Configurations[i]
		for j := range c.Webhooks {
			w := &c.Webhooks[j]
			if !createsPods(w) {
				continue
			}
			e := evaluate(c.Name+", webhook "+w.Name, w, n.Labels, s.labels())
			switch {
			case r.own(c, w):
				ours = append(ours, e)
			case len(e.failing) == 0 && strings.HasSuffix(w.Name, "sidecar-injector.istio.io"):
				out.Others = append(out.Others, e.name)
			}
		}
	}
	out.Result, out.Rule = s.selection(n, r, ours)
	if out.Result == Selected {
		out.Conditions = ours[0].conditions // it is the nearest
		out.label, out.ofObject = ours[0].label, ours[0].ofPod
	}
	return out
}

// createsPods reports whether a webhook is called for new pods.
func createsPods(w *admissionregistrationv1.MutatingWebhook) bool {
	has := func(list []string, value string) bool {
		return slices.Contains(list, value) || slices.Contains(list, "*")
	}
	return slices.ContainsFunc(w.Rules, func(r admissionregistrationv1.RuleWithOperations) bool {
		create := slices.Contains(r.Operations, admissionregistrationv1.Create) || slices.Contains(r.Operations, admissionregistrationv1.OperationAll)
		return create && has(r.APIGroups, "") && has(r.Resources, "pods")
	})
}

func evaluate(name string, w *admissionregistrationv1.MutatingWebhook, ofNamespace, ofPod map[string]string) entry {
	e := entry{name: name}
	for _, c := range w.MatchConditions {
		e.conditions = append(e.conditions, c.Name)
	}
	for _, s := range []struct {
		selector *metav1.LabelSelector
		labels   map[string]string
		ns       bool
	}{{w.NamespaceSelector, ofNamespace, true}, {w.ObjectSelector, ofPod, false}} {
		if s.selector == nil {
			continue
		}
		compiled, err := metav1.LabelSelectorAsSelector(s.selector)
		if err != nil {
			continue // the API server accepts valid selectors only
		}
		all, _ := compiled.Requirements()
		for _, q := range all {
			switch {
			case !q.Matches(labels.Set(s.labels)):
				e.failing = append(e.failing, failedLabels{q, s.ns})
			case q.Operator() == selection.In || q.Operator() == selection.Exists || q.Operator() == selection.Equals:
				who := "the pod"
				if s.ns {
					who = "the namespace"
				}
				e.rule = fmt.Sprintf("%s has the label %s=%s", who, q.Key(), s.labels[q.Key()])
				e.label, e.ofPod = q.Key(), !s.ns
			}
		}
	}
	return e
}

// selection is whether one of the injector's webhooks selects the pod, and by which rule.
func (s Subject) selection(n Namespace, r Registered, ours []entry) (string, Rule) {
	if len(ours) == 0 {
		return NotSelected, Rule{
			ID: "not_registered", Text: "no webhook of the injector is registered", Source: "MutatingWebhookConfiguration " + r.Name,
			Fix: "install it again: helm upgrade, or kubectl apply -f deploy/outrider.yaml",
		}
	}
	slices.SortStableFunc(ours, func(a, b entry) int { return len(a.failing) - len(b.failing) })
	nearest := ours[0]
	if len(nearest.failing) == 0 {
		if nearest.rule == "" {
			nearest.rule = "the namespace and the pod have no label that excludes them"
		}
		return Selected, Rule{ID: "selected", Text: nearest.rule, Source: "MutatingWebhookConfiguration " + nearest.name}
	}
	rule := Rule{ID: "not_selected", Source: "MutatingWebhookConfiguration " + nearest.name}
	var texts, fixes []string
	for _, e := range ours {
		if len(e.failing) > len(nearest.failing) {
			break
		}
		var text, fix []string
		for _, f := range e.failing {
			text, fix = append(text, s.failure(n, f)), append(fix, s.fix(n, f))
		}
		if one := strings.Join(text, " and "); !slices.Contains(texts, one) {
			texts, fixes = append(texts, one), append(fixes, strings.Join(fix, ", and "))
		}
	}
	rule.Text, rule.Fix = strings.Join(texts, "; "), strings.Join(fixes, "; or ")
	return NotSelected, rule
}

// failure is a requirement that is not met, as a sentence.
func (s Subject) failure(n Namespace, f failedLabels) string {
	who, has := "the pod", s.labels()
	if f.ofNamespace {
		who, has = "namespace "+n.Name, n.Labels
	}
	key := f.requirement.Key()
	value, ok := has[key]
	switch {
	case ok && key == corev1.LabelMetadataName:
		return "pods of namespace " + value + " are never injected"
	case ok:
		return fmt.Sprintf("%s has the label %s=%s", who, key, value)
	}
	return fmt.Sprintf("%s has no label %s", who, key)
}

// fix is what makes a requirement true.
func (s Subject) fix(n Namespace, f failedLabels) string {
	key, values := f.requirement.Key(), f.requirement.Values().List()
	_, ok := n.Labels[key]
	switch op := f.requirement.Operator(); {
	case f.ofNamespace && key == corev1.LabelMetadataName:
		return "use another namespace"
	case f.ofNamespace && (op == selection.In || op == selection.Equals || op == selection.DoubleEquals) && len(values) > 0:
		command := fmt.Sprintf("kubectl label namespace %s %s=%s", n.Name, key, values[0])
		if ok {
			command += " --overwrite"
		}
		return command
	case f.ofNamespace && op == selection.Exists:
		return fmt.Sprintf("kubectl label namespace %s %s=", n.Name, key)
	case f.ofNamespace:
		return fmt.Sprintf("kubectl label namespace %s %s-", n.Name, key)
	case (op == selection.In || op == selection.Equals || op == selection.DoubleEquals) && len(values) > 0:
		return fmt.Sprintf("set %s: %q in %s", key, values[0], s.path("metadata.labels"))
	case op == selection.Exists:
		return fmt.Sprintf("set %s in %s", key, s.path("metadata.labels"))
	}
	return fmt.Sprintf("remove %s from %s", key, s.path("metadata.labels"))
}
