package webhook

import (
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The paths the webhook serves.
const (
	InjectPath        = "/inject"
	WarnPath          = "/warn"
	ValidatePath      = "/validate"
	ConfigurationPath = "/validate-configuration"
)

// The labels by which namespaces and pods choose, as Istio has them.
const (
	labelNamespace = "istio-injection"
	labelRevision  = "istio.io/rev"
	labelInject    = "sidecar.istio.io/inject"
	labelName      = "kubernetes.io/metadata.name"

	// DefaultRevision is the revision of an installation that names none.
	DefaultRevision = "default"

	// registrationName is what both registrations are called, with "-REVISION"
	// behind it when the revision is not the default one.
	registrationName = "outrider-sidecar-injector"
	entrySuffix      = "sidecar-injector.istio.io"
	validationSuffix = "validation.istio.io"
)

// timeoutSeconds is how long the API server waits for one admission. The
// handler needs well under a millisecond; the rest is for a busy machine. The
// default of 10 would hold each request of a rollout twice as long when every
// replica is gone.
const timeoutSeconds int32 = 5

// Registration says how the API server reaches the webhook and for whom.
type Registration struct {
	// Revision is the revision that namespaces and pods name in istio.io/rev;
	// empty means DefaultRevision. Only the default one answers to
	// istio-injection: enabled and to the pod label sidecar.istio.io/inject.
	Revision string
	// Namespace is where the webhook itself runs. It is excluded, or the pods
	// that serve the webhook could not start without it. Also the Service's.
	Namespace string
	// Service is the name of the Service in Namespace, on port 443.
	Service string
	// URL replaces the Service where the webhook runs outside the cluster: the
	// base, "https://HOST:PORT", without a path.
	URL string
	// CABundle is the PEM that signed the serving certificate.
	CABundle []byte
	// Auto injects every namespace that says nothing itself.
	Auto bool
}

// selector is one way to be chosen: by labels of the namespace and of the object.
type selector struct {
	name      string
	namespace []metav1.LabelSelectorRequirement
	object    []metav1.LabelSelectorRequirement
}

// Mutating is the registration of the injection itself. It fails closed: no pod
// of a chosen namespace starts without having been looked at.
func (r Registration) Mutating() *admissionregistrationv1.MutatingWebhookConfiguration {
	out := &admissionregistrationv1.MutatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "MutatingWebhookConfiguration"},
		ObjectMeta: r.meta(),
	}
	for _, s := range r.selectors() {
		out.Webhooks = append(out.Webhooks, admissionregistrationv1.MutatingWebhook{
			Name:         s.name + "." + entrySuffix,
			ClientConfig: r.client(InjectPath),
			Rules: []admissionregistrationv1.RuleWithOperations{
				rule("", []string{"pods"}, admissionregistrationv1.Create),
			},
			FailurePolicy:     new(admissionregistrationv1.Fail),
			MatchPolicy:       new(admissionregistrationv1.Equivalent),
			NamespaceSelector: &metav1.LabelSelector{MatchExpressions: s.namespace},
			ObjectSelector:    &metav1.LabelSelector{MatchExpressions: s.object},
			SideEffects:       new(admissionregistrationv1.SideEffectClassNone),
			TimeoutSeconds:    new(timeoutSeconds),
			// Containers that a later webhook adds are seen in a second call.
			ReinvocationPolicy:      new(admissionregistrationv1.IfNeededReinvocationPolicy),
			AdmissionReviewVersions: []string{"v1"},
		})
	}
	return out
}

// Validating is the registration of what is judged and not changed: workloads,
// of which it only warns, objects of the egress control, and the ConfigMaps.
// A webhook that is away is not missed: failurePolicy Ignore throughout. What
// it would have said of a workload it says of the pods; and objects and
// ConfigMaps are judged again, by the same functions, by what follows them,
// which keeps what was good. Failing closed would guard nothing more, and while
// no replica answers the administrator could not mend the ConfigMap that may be
// the reason why.
func (r Registration) Validating() *admissionregistrationv1.ValidatingWebhookConfiguration {
	out := &admissionregistrationv1.ValidatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: r.meta(),
	}
	write := []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update}
	for _, s := range r.selectors() {
		// The labels of a workload are not those of its pods. A label that was
		// put on the workload by mistake is what the warning is about, so an
		// opt-out there must not keep the warning away.
		object := s.object
		if strings.HasSuffix(s.name, "namespace") || s.name == "auto" {
			object = nil
		}
		w := r.validating(s.name+".workload."+entrySuffix, WarnPath,
			rule("apps", []string{"deployments", "statefulsets", "daemonsets"}, write...),
			rule("batch", []string{"jobs", "cronjobs"}, write...),
			rule("", []string{"replicationcontrollers"}, write...),
			anyVersion(rule("argoproj.io", []string{"rollouts"}, write...)),
			anyVersion(rule("apps.openshift.io", []string{"deploymentconfigs"}, write...)))
		w.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: s.namespace}
		w.ObjectSelector = &metav1.LabelSelector{MatchExpressions: object}
		out.Webhooks = append(out.Webhooks, w)
	}
	out.Webhooks = append(append(out.Webhooks, r.objects(write)...), r.configMaps(write))
	return out
}

// objects are the entries for ServiceEntries and VirtualServices. An object with
// a revision's label is that revision's to judge; one without is the default's.
func (r Registration) objects(write []admissionregistrationv1.OperationType) (out []admissionregistrationv1.ValidatingWebhook) {
	for _, s := range []selector{
		{name: "rev." + validationSuffix, object: all(require(labelRevision, metav1.LabelSelectorOpIn, r.revision()))},
		{name: validationSuffix, object: all(absent(labelRevision))},
	} {
		if s.name == validationSuffix && r.revision() != DefaultRevision {
			continue
		}
		objects := rule(groupNetworking, []string{resourceEntries, resourceServices}, write...)
		objects.APIVersions = objectVersions
		w := r.validating(s.name, ValidatePath, objects)
		w.ObjectSelector = &metav1.LabelSelector{MatchExpressions: s.object}
		out = append(out, w)
	}
	return out
}

// configMaps is the entry for the two ConfigMaps. They have no labels to select
// them by, but names: an API server that does not know matchConditions yet
// (before Kubernetes 1.28) sends every ConfigMap of the namespace, and the
// handler lets the others pass.
func (r Registration) configMaps(write []admissionregistrationv1.OperationType) admissionregistrationv1.ValidatingWebhook {
	suffix := ""
	if r.revision() != DefaultRevision {
		suffix = "-" + r.revision()
	}
	w := r.validating("configuration."+validationSuffix, ConfigurationPath, rule("", []string{"configmaps"}, write...))
	w.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: all(require(labelName, metav1.LabelSelectorOpIn, r.Namespace))}
	w.MatchConditions = []admissionregistrationv1.MatchCondition{{
		Name: "name", Expression: fmt.Sprintf("request.name in ['istio-sidecar-injector%[1]s', 'istio%[1]s']", suffix),
	}}
	return w
}

// validating is an entry without selectors.
func (r Registration) validating(name, path string, rules ...admissionregistrationv1.RuleWithOperations) admissionregistrationv1.ValidatingWebhook {
	return admissionregistrationv1.ValidatingWebhook{
		Name: name, ClientConfig: r.client(path), Rules: rules,
		FailurePolicy:           new(admissionregistrationv1.Ignore),
		MatchPolicy:             new(admissionregistrationv1.Equivalent),
		NamespaceSelector:       &metav1.LabelSelector{},
		ObjectSelector:          &metav1.LabelSelector{},
		SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
		TimeoutSeconds:          new(timeoutSeconds),
		AdmissionReviewVersions: []string{"v1"},
	}
}

// selectors lists the ways to be chosen. No two of them choose the same pod.
func (r Registration) selectors() []selector {
	revision := r.revision()
	never := []string{"kube-system", "kube-public", "kube-node-lease"}
	if r.Namespace != "" {
		never = append(never, r.Namespace)
	}
	exclude := require(labelName, metav1.LabelSelectorOpNotIn, never...)
	notFalse := require(labelInject, metav1.LabelSelectorOpNotIn, "false")

	out := []selector{
		{"rev.namespace",
			all(require(labelRevision, metav1.LabelSelectorOpIn, revision), absent(labelNamespace), exclude),
			all(notFalse)},
		{"rev.object",
			all(absent(labelRevision), absent(labelNamespace), exclude),
			all(notFalse, require(labelRevision, metav1.LabelSelectorOpIn, revision))},
	}
	if revision != DefaultRevision {
		return out
	}
	out = append(out,
		selector{"namespace",
			all(require(labelNamespace, metav1.LabelSelectorOpIn, "enabled"), exclude),
			all(notFalse)},
		selector{"object",
			all(absent(labelNamespace), absent(labelRevision), exclude),
			all(require(labelInject, metav1.LabelSelectorOpIn, "true"), absent(labelRevision))},
	)
	if r.Auto {
		out = append(out, selector{"auto",
			all(absent(labelNamespace), absent(labelRevision),
				require(labelName, metav1.LabelSelectorOpNotIn, append(never, "local-path-storage")...)),
			all(absent(labelInject), absent(labelRevision))})
	}
	return out
}

func (r Registration) revision() string {
	if r.Revision == "" {
		return DefaultRevision
	}
	return r.Revision
}

func (r Registration) meta() metav1.ObjectMeta {
	name := registrationName
	if r.revision() != DefaultRevision {
		name += "-" + r.revision()
	}
	return metav1.ObjectMeta{
		Name: name,
		// What Istio's tools look for.
		Labels: map[string]string{"app": "sidecar-injector", labelRevision: r.revision()},
	}
}

func (r Registration) client(path string) admissionregistrationv1.WebhookClientConfig {
	if r.URL != "" {
		return admissionregistrationv1.WebhookClientConfig{URL: new(strings.TrimSuffix(r.URL, "/") + path), CABundle: r.CABundle}
	}
	return admissionregistrationv1.WebhookClientConfig{
		Service: &admissionregistrationv1.ServiceReference{
			Namespace: r.Namespace, Name: r.Service, Path: new(path), Port: new(int32(443)),
		},
		CABundle: r.CABundle,
	}
}

func rule(group string, resources []string, operations ...admissionregistrationv1.OperationType) admissionregistrationv1.RuleWithOperations {
	return admissionregistrationv1.RuleWithOperations{
		Operations: operations,
		Rule: admissionregistrationv1.Rule{
			APIGroups: []string{group}, APIVersions: []string{"v1"}, Resources: resources,
			Scope: new(admissionregistrationv1.NamespacedScope),
		},
	}
}

// anyVersion is a rule for kinds whose versions are not Kubernetes' own.
func anyVersion(r admissionregistrationv1.RuleWithOperations) admissionregistrationv1.RuleWithOperations {
	r.APIVersions = []string{"*"}
	return r
}

func require(label string, op metav1.LabelSelectorOperator, values ...string) metav1.LabelSelectorRequirement {
	return metav1.LabelSelectorRequirement{Key: label, Operator: op, Values: values}
}

func absent(label string) metav1.LabelSelectorRequirement {
	return require(label, metav1.LabelSelectorOpDoesNotExist)
}

func all(requirements ...metav1.LabelSelectorRequirement) []metav1.LabelSelectorRequirement {
	return requirements
}
