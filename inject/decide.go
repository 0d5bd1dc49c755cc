package inject

import (
	"fmt"
	"slices"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/document"

	corev1 "k8s.io/api/core/v1"
)

// Reason is the stable code of a decision: a metric label, a log field and a
// word in reports. Reasons are never renamed.
type Reason string

// The reasons, in the order in which the rules are evaluated.
const (
	ReasonHostNetwork      Reason = "host_network"      // skip: spec.hostNetwork
	ReasonIgnoredNamespace Reason = "ignored_namespace" // skip: a namespace of the system
	ReasonWindows          Reason = "windows"           // skip: the pod runs on Windows nodes
	ReasonNoContainers     Reason = "no_containers"     // skip: the pod has no containers
	ReasonLabelTrue        Reason = "label_true"        // inject: label sidecar.istio.io/inject: "true"
	ReasonLabelFalse       Reason = "label_false"       // skip
	ReasonAnnotationTrue   Reason = "annotation_true"   // inject
	ReasonAnnotationFalse  Reason = "annotation_false"  // skip
	ReasonNeverSelector    Reason = "never_selector"    // skip: neverInjectSelector matches
	ReasonAlwaysSelector   Reason = "always_selector"   // inject: alwaysInjectSelector matches
	ReasonPolicyEnabled    Reason = "policy_enabled"    // inject: policy: enabled
	ReasonPolicyDisabled   Reason = "policy_disabled"   // skip: policy: disabled
)

// Decision is whether a pod is injected, by which rule, and the same as a sentence
// for a user.
type Decision struct {
	Inject   bool
	Reason   Reason
	Sentence string
	// By is what decides: a field, label or annotation of the pod, its namespace, or a key
	// of the configuration.
	By string
}

// NeverInjected are the namespaces whose pods are never injected.
func NeverInjected() []string { return slices.Clone(ignoredNamespaces) }

// ignoredNamespaces never get sidecars: their pods must start before the webhook
// does. The list is Istio's.
var ignoredNamespaces = []string{"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}

// decide follows Istio's order (pkg/kube/inject, injectRequired); the rules of
// our own, Windows and no containers, are among those about pods that cannot have a
// sidecar.
// namespace is "" for a file without one.
func decide(pod *corev1.Pod, namespace string, c *config.Injection) Decision {
	if pod.Spec.HostNetwork {
		return skip(ReasonHostNetwork, "spec.hostNetwork", "hostNetwork is set; redirection would affect the node")
	}
	if slices.Contains(ignoredNamespaces, namespace) {
		return skip(ReasonIgnoredNamespace, "metadata.namespace", fmt.Sprintf("pods in namespace %s are never injected", namespace))
	}
	if where := windowsBy(&pod.Spec); where != "" {
		return skip(ReasonWindows, where, fmt.Sprintf("the pod runs on Windows nodes (%s), where traffic redirection is not supported", where))
	}
	if len(pod.Spec.Containers) == 0 {
		return skip(ReasonNoContainers, "spec.containers", "the pod has no containers")
	}
	if d, ok := decideByRequest(pod); ok {
		return d
	}
	if s, i := firstMatch(c.NeverInjectSelector, pod.Labels); s != "" {
		return skip(ReasonNeverSelector, document.Index("neverInjectSelector", i), fmt.Sprintf("the pod's labels match neverInjectSelector %s", s))
	}
	if s, i := firstMatch(c.AlwaysInjectSelector, pod.Labels); s != "" {
		return inject(ReasonAlwaysSelector, document.Index("alwaysInjectSelector", i), fmt.Sprintf("the pod's labels match alwaysInjectSelector %s", s))
	}
	if c.Policy == "disabled" {
		return skip(ReasonPolicyDisabled, policyKey, `the policy is disabled and the pod does not opt in; label it sidecar.istio.io/inject: "true"`)
	}
	return inject(ReasonPolicyEnabled, policyKey, "injection policy is enabled")
}

// decideByRequest applies the pod's own label or annotation. The label takes
// precedence even if its value is invalid, and only the exact values are accepted;
// annotation.Check warns about all others.
func decideByRequest(pod *corev1.Pod) (Decision, bool) {
	if value, ok := pod.Labels[annotation.Inject]; ok {
		switch value {
		case "true":
			return inject(ReasonLabelTrue, "label "+annotation.Inject, `the pod has the label sidecar.istio.io/inject: "true"`), true
		case "false":
			return skip(ReasonLabelFalse, "label "+annotation.Inject, `the pod has the label sidecar.istio.io/inject: "false"`), true
		}
		return Decision{}, false
	}
	switch pod.Annotations[annotation.Inject] {
	case "true":
		return inject(ReasonAnnotationTrue, "annotation "+annotation.Inject, `the pod has the annotation sidecar.istio.io/inject: "true"`), true
	case "false":
		return skip(ReasonAnnotationFalse, "annotation "+annotation.Inject, `the pod has the annotation sidecar.istio.io/inject: "false"`), true
	}
	return Decision{}, false
}

// policyKey is the key of the configuration that decides about all other pods.
const policyKey = "policy"

func firstMatch(selectors []config.Selector, labels map[string]string) (text string, number int) {
	for i, s := range selectors {
		if s.Matches(labels) {
			return s.String(), i
		}
	}
	return "", 0
}

func skip(r Reason, by, sentence string) Decision { return Decision{false, r, sentence, by} }

func inject(r Reason, by, sentence string) Decision { return Decision{true, r, sentence, by} }
