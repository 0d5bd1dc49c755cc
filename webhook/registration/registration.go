package registration

import (
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// The URL paths of the handlers.
const (
	InjectPath        = "/inject"
	WarnPath          = "/warn"
	ValidatePath      = "/validate"
	ConfigurationPath = "/validate-configuration"
	EphemeralPath     = "/validate-ephemeral-containers"
	ImagePath         = "/warn-image"
)

// Options describe how the API server reaches the webhook, and which pods and
// objects it sends.
type Options struct {
	// Revision is the revision that namespaces and pods select with istio.io/rev.
	Revision revision.Revision
	// DefaultRevision is the one that istio-injection=enabled selects, and that validates
	// objects without a revision; empty means "default".
	DefaultRevision revision.Revision
	// Tags are further values of istio.io/rev that select this revision.
	Tags []revision.Tag
	// Namespace is where the webhook itself runs. It is excluded: otherwise the
	// pods that serve the webhook could not start without it. It is also the
	// Service's namespace.
	Namespace string
	// Service is the name of the Service in Namespace, on port 443.
	Service string
	// XDSService is the Service that validates ServiceEntries and VirtualServices,
	// which the control plane watches; empty means Service.
	XDSService string
	// URL replaces the Service where the webhook runs outside the cluster: the
	// base, "https://HOST:PORT", without a path.
	URL string
	// CABundle is the PEM that verifies the serving certificate.
	CABundle []byte
	// Auto injects every namespace without an injection label.
	Auto bool
}

// Name is the name of both configurations.
func (o Options) Name() string { return o.Revision.Name("outrider-sidecar-injector") }

// isDefault reports whether pods and objects without a revision are this one's.
func (o Options) isDefault() bool {
	return o.DefaultRevision.Matches(o.Revision.String()) || slices.Contains(o.Tags, revision.DefaultTag)
}

// tags are the tags that have a configuration. Another revision that is the default one
// has the tag "default", as with Istio.
func (o Options) tags() []revision.Tag {
	tags := slices.DeleteFunc(slices.Clone(o.Tags), func(t revision.Tag) bool { return o.Revision.Matches(string(t)) })
	if o.isDefault() && !o.Revision.IsDefault() && !slices.Contains(tags, revision.DefaultTag) {
		tags = append(tags, revision.DefaultTag)
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

func (o Options) meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: o.Name(),
		// The labels that Istio's tools select by.
		Labels: map[string]string{"app": "sidecar-injector", annotation.Rev: o.Revision.String()},
	}
}

// The suffixes of the entries' names.
const (
	injectorSuffix   = "sidecar-injector.istio.io"
	validationSuffix = "validation.istio.io"
)

// timeoutSeconds is how long the API server waits for one admission. The
// handler needs well under a millisecond; the rest is for a busy machine. With
// the default of 10, each request of a rollout would be delayed twice as long
// while every replica is unavailable.
const timeoutSeconds int32 = 5

// Mutating is the configuration of the injection. Its failurePolicy is Fail: no
// pod of a selected namespace starts without having been looked at.
func (o Options) Mutating() *admissionregistrationv1.MutatingWebhookConfiguration {
	if selectors := o.selectors(); selectors != nil {
		return o.mutating(o.meta(), selectors)
	}
	// The entries stay while another revision is the default one, as with Istio: an entry
	// that is added has no CA bundle at first, and would deny pods.
	out := o.mutating(o.meta(), o.selectorsOf(o.Revision.String(), true))
	for i := range out.Webhooks {
		out.Webhooks[i].NamespaceSelector, out.Webhooks[i].ObjectSelector = never(), never()
	}
	return out
}

// TagConfigurations are the configurations of the tags: pods of a namespace with
// istio.io/rev=TAG are injected by this revision.
func (o Options) TagConfigurations() (out []*admissionregistrationv1.MutatingWebhookConfiguration) {
	for _, t := range o.tags() {
		meta := o.meta()
		meta.Name, meta.Labels[annotation.Tag] = t.Configuration(), string(t)
		out = append(out, o.mutating(meta, o.selectorsOf(string(t), t == revision.DefaultTag)))
	}
	return out
}

func (o Options) mutating(meta metav1.ObjectMeta, selectors []selector) *admissionregistrationv1.MutatingWebhookConfiguration {
	out := &admissionregistrationv1.MutatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "MutatingWebhookConfiguration"},
		ObjectMeta: meta,
	}
	for _, s := range selectors {
		out.Webhooks = append(out.Webhooks, admissionregistrationv1.MutatingWebhook{
			Name:         s.name + "." + injectorSuffix,
			ClientConfig: o.client(InjectPath),
			Rules: []admissionregistrationv1.RuleWithOperations{
				rule("", []string{"pods"}, admissionregistrationv1.Create),
			},
			FailurePolicy:     new(admissionregistrationv1.Fail),
			MatchPolicy:       new(admissionregistrationv1.Equivalent),
			NamespaceSelector: &metav1.LabelSelector{MatchExpressions: s.namespace},
			ObjectSelector:    &metav1.LabelSelector{MatchExpressions: s.object},
			SideEffects:       new(admissionregistrationv1.SideEffectClassNone),
			TimeoutSeconds:    new(timeoutSeconds),
			// Containers that a later webhook adds are seen in a second call. The API
			// server makes it only where something changed after the first one, which
			// the built-in template gives its own admission plugins no reason for.
			ReinvocationPolicy:      new(admissionregistrationv1.IfNeededReinvocationPolicy),
			AdmissionReviewVersions: []string{"v1"},
		})
	}
	return out
}
