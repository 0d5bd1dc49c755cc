package inject

// Reason is the stable code of a decision: a metric label, a log field and a
// word in reports. Reasons are never renamed.
type Reason string

// The reasons, in the order in which the decision asks for them.
const (
	ReasonWindows          Reason = "windows"            // skip: the pod runs on Windows nodes
	ReasonHostNetwork      Reason = "host_network"       // skip: spec.hostNetwork
	ReasonIgnoredNamespace Reason = "ignored_namespace"  // skip: a namespace of the system
	ReasonLabelTrue        Reason = "label_true"         // inject: label sidecar.istio.io/inject: "true"
	ReasonLabelFalse       Reason = "label_false"        // skip
	ReasonAnnotationTrue   Reason = "annotation_true"    // inject
	ReasonAnnotationFalse  Reason = "annotation_false"   // skip
	ReasonNeverSelector    Reason = "never_selector"     // skip: neverInjectSelector matches
	ReasonAlwaysSelector   Reason = "always_selector"    // inject: alwaysInjectSelector matches
	ReasonPolicyEnabled    Reason = "policy_enabled"     // inject: policy: enabled
	ReasonPolicyDisabled   Reason = "policy_disabled"    // skip: policy: disabled
)

// Decision says whether a pod is injected, by which rule, and the same as a
// sentence for a person.
type Decision struct {
	Inject   bool
	Reason   Reason
	Sentence string
}
