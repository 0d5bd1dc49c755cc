package inject

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/config"
)

// Reason is the stable code of a decision: a metric label, a log field and a
// word in reports. Reasons are never renamed.
type Reason string

// The reasons, in the order in which the decision asks for them.
const (
	ReasonHostNetwork      Reason = "host_network"      // skip: spec.hostNetwork
	ReasonIgnoredNamespace Reason = "ignored_namespace" // skip: a namespace of the system
	ReasonWindows          Reason = "windows"           // skip: the pod runs on Windows nodes
	ReasonLabelTrue        Reason = "label_true"        // inject: label sidecar.istio.io/inject: "true"
	ReasonLabelFalse       Reason = "label_false"       // skip
	ReasonAnnotationTrue   Reason = "annotation_true"   // inject
	ReasonAnnotationFalse  Reason = "annotation_false"  // skip
	ReasonNeverSelector    Reason = "never_selector"    // skip: neverInjectSelector matches
	ReasonAlwaysSelector   Reason = "always_selector"   // inject: alwaysInjectSelector matches
	ReasonPolicyEnabled    Reason = "policy_enabled"    // inject: policy: enabled
	ReasonPolicyDisabled   Reason = "policy_disabled"   // skip: policy: disabled
)

// Decision says whether a pod is injected, by which rule, and the same as a
// sentence for a person.
type Decision struct {
	Inject   bool
	Reason   Reason
	Sentence string
}

// ignoredNamespaces never get sidecars: what runs there has to work before the
// webhook does. The list is Istio's.
var ignoredNamespaces = []string{"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}

// decide answers in Istio's order (pkg/kube/inject, injectRequired); the one
// question of our own, Windows, stands with the other things a sidecar cannot
// do. namespace is "" for a file that names none.
func decide(pod *corev1.Pod, namespace string, c *config.Injection) Decision {
	if pod.Spec.HostNetwork {
		return skip(ReasonHostNetwork, "the pod uses the host's network (spec.hostNetwork), where a redirect would catch the whole node's traffic")
	}
	if slices.Contains(ignoredNamespaces, namespace) {
		return skip(ReasonIgnoredNamespace, fmt.Sprintf("pods in namespace %s are never injected", namespace))
	}
	if runsOnWindows(pod) {
		return skip(ReasonWindows, "the pod runs on Windows nodes, where the init container cannot redirect traffic")
	}
	if d, ok := decideByRequest(pod); ok {
		return d
	}
	if s := firstMatch(c.NeverInjectSelector, pod.Labels); s != "" {
		return skip(ReasonNeverSelector, fmt.Sprintf("the pod's labels match neverInjectSelector %s", s))
	}
	if s := firstMatch(c.AlwaysInjectSelector, pod.Labels); s != "" {
		return inject(ReasonAlwaysSelector, fmt.Sprintf("the pod's labels match alwaysInjectSelector %s", s))
	}
	if c.Policy == "disabled" {
		return skip(ReasonPolicyDisabled, `the policy is disabled and the pod does not ask for a sidecar; label it sidecar.istio.io/inject: "true" to get one`)
	}
	return inject(ReasonPolicyEnabled, "the policy is enabled and nothing speaks against it")
}

// decideByRequest honours the pod's own word. The label beats the annotation
// even when it is junk, and only the exact words count; annotation.Check warns
// about all others.
func decideByRequest(pod *corev1.Pod) (Decision, bool) {
	if value, ok := pod.Labels[annotation.Inject]; ok {
		switch value {
		case "true":
			return inject(ReasonLabelTrue, `the pod has the label sidecar.istio.io/inject: "true"`), true
		case "false":
			return skip(ReasonLabelFalse, `the pod has the label sidecar.istio.io/inject: "false"`), true
		}
		return Decision{}, false
	}
	switch pod.Annotations[annotation.Inject] {
	case "true":
		return inject(ReasonAnnotationTrue, `the pod has the annotation sidecar.istio.io/inject: "true"`), true
	case "false":
		return skip(ReasonAnnotationFalse, `the pod has the annotation sidecar.istio.io/inject: "false"`), true
	}
	return Decision{}, false
}

func runsOnWindows(pod *corev1.Pod) bool {
	if pod.Spec.OS != nil && pod.Spec.OS.Name == corev1.Windows {
		return true
	}
	return pod.Spec.NodeSelector[corev1.LabelOSStable] == string(corev1.Windows)
}

func firstMatch(selectors []config.Selector, labels map[string]string) string {
	for _, s := range selectors {
		if s.Matches(labels) {
			return s.String()
		}
	}
	return ""
}

func skip(r Reason, sentence string) Decision   { return Decision{false, r, sentence} }
func inject(r Reason, sentence string) Decision { return Decision{true, r, sentence} }
