package registration

import (
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/annotation"
)

// The mesh objects that are validated: their API group, resources and versions,
// all of one schema.
const (
	NetworkingGroup = "networking.istio.io"
	ServiceEntries  = "serviceentries"
	VirtualServices = "virtualservices"
	Sidecars        = "sidecars"
)

// NetworkingVersions are the versions of NetworkingGroup that are validated.
func NetworkingVersions() []string { return []string{"v1", "v1beta1", "v1alpha3"} }

// Validating is the configuration of what is validated and not changed:
// workloads, opted-out pods and replaced images, which only get warnings, ephemeral
// containers, the mesh objects, and the two ConfigMaps. failurePolicy is Ignore except for ephemeral containers, which would bypass
// the sidecar of a running pod. A workload's warnings are repeated for its
// pods; and the control plane validates objects and ConfigMaps again, by the
// same functions, and keeps the last good state. Fail would protect nothing
// more, and while no replica is available the administrator could not fix the
// ConfigMap that may be the cause.
func (o Options) Validating() *admissionregistrationv1.ValidatingWebhookConfiguration {
	out := &admissionregistrationv1.ValidatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: o.meta(),
	}
	write := []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update}
	for _, s := range o.allSelectors() {
		// The labels of a workload are not those of its pods. A label that was
		// put on the workload by mistake is what the warning is about, so an
		// opt-out there must not keep the warning away.
		object := s.object
		if s.whole() {
			object = nil
		}
		w := o.validating(s.name+".workload."+injectorSuffix, WarnPath,
			rule("apps", []string{"deployments", "statefulsets", "daemonsets"}, write...),
			rule("batch", []string{"jobs", "cronjobs"}, write...),
			rule("", []string{"replicationcontrollers"}, write...),
			anyVersion(rule("argoproj.io", []string{"rollouts"}, write...)),
			anyVersion(rule("apps.openshift.io", []string{"deploymentconfigs"}, write...)))
		w.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: s.namespace}
		w.ObjectSelector = &metav1.LabelSelector{MatchExpressions: object}
		out.Webhooks = append(out.Webhooks, w)
		if pods, ok := o.optedOut(s); ok {
			out.Webhooks = append(out.Webhooks, pods)
		}
	}
	out.Webhooks = append(append(out.Webhooks, o.ephemeral(), o.images()), append(o.objects(write), o.configMaps(write))...)
	return out
}

// optedOut is the entry for pods that their own label keeps from the injection, in
// namespaces with injection: with REGISTRY_ONLY, whoever creates one gets a warning. An
// unavailable webhook does not concern them.
func (o Options) optedOut(s selector) (w admissionregistrationv1.ValidatingWebhook, ok bool) {
	if !s.whole() || strings.HasSuffix(s.name, "auto") {
		return w, false
	}
	w = o.validating(s.name+".opted-out."+injectorSuffix, WarnPath, rule("", []string{"pods"}, admissionregistrationv1.Create))
	w.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: s.namespace}
	w.ObjectSelector = &metav1.LabelSelector{MatchExpressions: all(require(annotation.Inject, metav1.LabelSelectorOpIn, "false"))}
	return w, true
}

// ephemeral is the entry for ephemeral containers. Labels and annotations of a running pod
// can be changed, its containers and volumes cannot: they decide, and a pod of another mesh
// or revision is not concerned. An API server without matchConditions sends every pod, and
// the handler allows those without a sidecar.
func (o Options) ephemeral() admissionregistrationv1.ValidatingWebhook {
	w := o.validating("ephemeral."+injectorSuffix, EphemeralPath,
		rule("", []string{"pods/ephemeralcontainers"}, admissionregistrationv1.Update))
	w.FailurePolicy = new(admissionregistrationv1.Fail)
	w.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: all(o.excluded())}
	w.MatchConditions = o.ownSidecar()
	return w
}

// ownSidecar selects pods with a sidecar of this revision. Its volume names the revision's
// ConfigMap with the CA bundle. The default revision also takes pods whose volume names
// none, from a template of the user's own.
func (o Options) ownSidecar() []admissionregistrationv1.MatchCondition {
	const sidecar = `.exists(c, c.name == 'istio-proxy' && has(c.volumeMounts) && c.volumeMounts.exists(v, v.name == 'outrider-xds'))`
	const configMap = `has(object.spec.volumes) && object.spec.volumes.exists(v, v.name == 'outrider-xds' && has(v.projected) && has(v.projected.sources) && v.projected.sources.exists(s, has(s.configMap) && s.configMap.name%s))`
	own := fmt.Sprintf(configMap, " == '"+o.Revision.Name(caConfigMap)+"'")
	if o.Revision.IsDefault() {
		own = "!(" + fmt.Sprintf(configMap, ".startsWith('"+caConfigMap+"-')") + ")"
	}
	return []admissionregistrationv1.MatchCondition{
		{Name: "sidecar", Expression: "object.spec.containers" + sidecar + " || has(object.spec.initContainers) && object.spec.initContainers" + sidecar},
		{Name: "revision", Expression: own},
	}
}

// caConfigMap is certs.ConfigMapName, which a test compares: the CA bundle of a revision.
const caConfigMap = "outrider-ca"

// images is the entry for updates that replace the image of an injected container, which get a
// warning only. An API server without matchConditions sends every update of a pod.
func (o Options) images() admissionregistrationv1.ValidatingWebhook {
	w := o.validating("image."+injectorSuffix, ImagePath, rule("", []string{"pods"}, admissionregistrationv1.Update))
	w.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: all(o.excluded())}
	const replaced = `.exists(c, c.name in ['istio-init', 'istio-proxy'] && oldObject.spec.%[1]s.exists(o, o.name == c.name && o.image != c.image))`
	w.MatchConditions = append(o.ownSidecar(), admissionregistrationv1.MatchCondition{
		Name: "replaced", Expression: "object.spec.containers" + fmt.Sprintf(replaced, "containers") +
			" || has(object.spec.initContainers) && object.spec.initContainers" + fmt.Sprintf(replaced, "initContainers"),
	})
	return w
}

// objects are the entries for ServiceEntries, VirtualServices and Sidecars. An object with a revision label is validated by that revision, one
// without by the default one.
func (o Options) objects(write []admissionregistrationv1.OperationType) (out []admissionregistrationv1.ValidatingWebhook) {
	for _, s := range []selector{
		{name: "rev." + validationSuffix, object: all(require(annotation.Rev, metav1.LabelSelectorOpIn, o.Revision.String()))},
		{name: validationSuffix, object: all(absent(annotation.Rev))},
	} {
		if s.name == validationSuffix && !o.isDefault() {
			continue
		}
		objects := rule(NetworkingGroup, []string{ServiceEntries, VirtualServices, Sidecars}, write...)
		objects.APIVersions = NetworkingVersions()
		w := o.validating(s.name, ValidatePath, objects)
		w.ObjectSelector = &metav1.LabelSelector{MatchExpressions: s.object}
		out = append(out, w)
	}
	return out
}

// configMaps is the entry for the two ConfigMaps. They have no labels to select
// them by, only names: an API server without matchConditions (before Kubernetes
// 1.28) sends every ConfigMap of the namespace, and the handler allows the
// others.
func (o Options) configMaps(write []admissionregistrationv1.OperationType) admissionregistrationv1.ValidatingWebhook {
	w := o.validating("configuration."+validationSuffix, ConfigurationPath, rule("", []string{"configmaps"}, write...))
	w.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: all(require(corev1.LabelMetadataName, metav1.LabelSelectorOpIn, o.Namespace))}
	w.MatchConditions = []admissionregistrationv1.MatchCondition{{
		Name: "name", Expression: fmt.Sprintf("request.name in ['%s', '%s']", o.Revision.Name("istio-sidecar-injector"), o.Revision.Name("istio")),
	}}
	return w
}

// validating is an entry without selectors.
func (o Options) validating(name, path string, rules ...admissionregistrationv1.RuleWithOperations) admissionregistrationv1.ValidatingWebhook {
	return admissionregistrationv1.ValidatingWebhook{
		Name: name, ClientConfig: o.client(path), Rules: rules,
		FailurePolicy:           new(admissionregistrationv1.Ignore),
		MatchPolicy:             new(admissionregistrationv1.Equivalent),
		NamespaceSelector:       &metav1.LabelSelector{},
		ObjectSelector:          &metav1.LabelSelector{},
		SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
		TimeoutSeconds:          new(timeoutSeconds),
		AdmissionReviewVersions: []string{"v1"},
	}
}
