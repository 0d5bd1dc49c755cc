package registration

import (
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// selector is one way to be selected: by labels of the namespace and of the object.
type selector struct {
	name      string
	namespace []metav1.LabelSelectorRequirement
	object    []metav1.LabelSelectorRequirement
}

// never selects nothing. The label is Istio's.
func never() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"istio.io/deactivated": "never-match"}}
}

// excluded are the namespaces whose pods are never injected, by a selector.
func (o Options) excluded() metav1.LabelSelectorRequirement {
	never := []string{"kube-system", "kube-public", "kube-node-lease"}
	if o.Namespace != "" {
		never = append(never, o.Namespace)
	}
	return require(corev1.LabelMetadataName, metav1.LabelSelectorOpNotIn, never...)
}

// selectors lists the ways to be selected by the revision's own name. No two of them
// select the same pod. The revision "default" has none while another one is the default
// revision: the tag of this name selects that one.
func (o Options) selectors() []selector {
	if o.Revision.IsDefault() && !o.isDefault() {
		return nil
	}
	return o.selectorsOf(o.Revision.String(), o.Revision.IsDefault())
}

// selectorsOf are those by the value of istio.io/rev and, for the default one, by
// istio-injection and the pod label sidecar.istio.io/inject.
func (o Options) selectorsOf(rev string, isDefault bool) []selector {
	exclude := o.excluded()
	never := exclude.Values
	notFalse := require(annotation.Inject, metav1.LabelSelectorOpNotIn, "false")

	out := []selector{
		{"rev.namespace",
			all(require(annotation.Rev, metav1.LabelSelectorOpIn, rev), absent(annotation.Injection), exclude),
			all(notFalse)},
		{"rev.object",
			all(absent(annotation.Rev), absent(annotation.Injection), exclude),
			all(notFalse, require(annotation.Rev, metav1.LabelSelectorOpIn, rev))},
	}
	if !isDefault {
		return out
	}
	out = append(out,
		selector{"namespace",
			all(require(annotation.Injection, metav1.LabelSelectorOpIn, "enabled"), exclude),
			all(notFalse)},
		selector{"object",
			all(absent(annotation.Injection), absent(annotation.Rev), exclude),
			all(require(annotation.Inject, metav1.LabelSelectorOpIn, "true"), absent(annotation.Rev))},
	)
	if o.Auto {
		out = append(out, selector{"auto",
			all(absent(annotation.Injection), absent(annotation.Rev),
				require(corev1.LabelMetadataName, metav1.LabelSelectorOpNotIn, append(never, "local-path-storage")...)),
			all(absent(annotation.Inject), absent(annotation.Rev))})
	}
	return out
}

// whole reports whether the selector takes pods of a namespace whatever their labels are,
// but for those that are kept from the injection.
func (s selector) whole() bool {
	return strings.HasSuffix(s.name, "namespace") || strings.HasSuffix(s.name, "auto")
}

// allSelectors are the selectors of the revision and of its tags. Names of entries are
// unique within a configuration, so those of a tag carry it.
func (o Options) allSelectors() []selector {
	out := o.selectors()
	for _, t := range o.tags() {
		for _, s := range o.selectorsOf(string(t), t == revision.DefaultTag) {
			s.name = string(t) + ".tag." + s.name
			out = append(out, s)
		}
	}
	return out
}

func (o Options) client(path string) admissionregistrationv1.WebhookClientConfig {
	if o.URL != "" {
		return admissionregistrationv1.WebhookClientConfig{URL: new(strings.TrimSuffix(o.URL, "/") + path), CABundle: o.CABundle}
	}
	service := o.Service
	if path == ValidatePath && o.XDSService != "" {
		service = o.XDSService
	}
	return admissionregistrationv1.WebhookClientConfig{
		Service: &admissionregistrationv1.ServiceReference{
			Namespace: o.Namespace, Name: service, Path: new(path), Port: new(int32(443)),
		},
		CABundle: o.CABundle,
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
