package certs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	admissionregistration "k8s.io/client-go/informers/admissionregistration/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/outrider-mesh/outrider/annotation"
)

// registrations are the webhook configurations of the revision as the API server has
// them: its own two, and those of the tags that select it.
type registrations struct {
	client               kubernetes.Interface
	name, revision       string
	mutating, validating cache.SharedIndexInformer
	tags                 []cache.SharedIndexInformer // in the order of tagNames
	tagNames             []string
}

func newRegistrations(client kubernetes.Interface, o *Options) *registrations {
	// The name is a field selector, so that a role may grant this one name.
	named := func(name string) admissionregistration.Interface {
		return informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(byName(name)),
			informers.WithTransform(stripManagedFields)).Admissionregistration().V1()
	}
	own := named(o.Registration)
	r := &registrations{
		client: client, name: o.Registration, revision: o.Revision,
		mutating:   own.MutatingWebhookConfigurations().Informer(),
		validating: own.ValidatingWebhookConfigurations().Informer(),
	}
	for _, t := range o.Tags {
		r.tagNames = append(r.tagNames, t.Configuration())
		r.tags = append(r.tags, named(t.Configuration()).MutatingWebhookConfigurations().Informer())
	}
	return r
}

// informers are those of all; none where there are no registrations.
func (r *registrations) informers() []cache.SharedIndexInformer {
	if r == nil {
		return nil
	}
	return append([]cache.SharedIndexInformer{r.mutating, r.validating}, r.tags...)
}

// synced are those of the configurations that select pods.
func (r *registrations) synced() (out []cache.InformerSynced) {
	for _, i := range append([]cache.SharedIndexInformer{r.mutating}, r.tags...) {
		out = append(out, i.HasSynced)
	}
	return out
}

func byName(name string) func(*metav1.ListOptions) {
	return func(o *metav1.ListOptions) { o.FieldSelector = "metadata.name=" + name }
}

// hook is one webhook of a configuration.
type hook struct {
	name   string
	bundle []byte
}

// configuration is one webhook configuration.
type configuration struct {
	name  string
	hooks []hook
}

// The kinds, as messages and metrics have them.
const (
	kindMutating   = "MutatingWebhookConfiguration"
	kindValidating = "ValidatingWebhookConfiguration"
)

// registered is the mutating configuration of the name; nil when there is none.
func registered(of cache.SharedIndexInformer, name string) *admissionregistrationv1.MutatingWebhookConfiguration {
	object, ok, err := of.GetStore().GetByKey(name)
	if err != nil || !ok {
		return nil
	}
	c, _ := object.(*admissionregistrationv1.MutatingWebhookConfiguration)
	return c
}

// own is the revision's own mutating configuration; nil when there is none.
func (r *registrations) own() *admissionregistrationv1.MutatingWebhookConfiguration {
	return registered(r.mutating, r.name)
}

// tagged are the configurations of the tags that select this revision at present. One
// that selects another revision is that one's.
func (r *registrations) tagged() (out []*admissionregistrationv1.MutatingWebhookConfiguration) {
	for n, i := range r.tags {
		if c := registered(i, r.tagNames[n]); c != nil && c.Labels[annotation.Rev] == r.revision {
			out = append(out, c)
		}
	}
	return out
}

// injecting are the webhooks that select pods for this revision. Unless its own
// configuration exists, they are unknown.
func (r *registrations) injecting() (out []admissionregistrationv1.MutatingWebhook, known bool) {
	own := r.own()
	if own == nil {
		return nil, false
	}
	out = append(out, own.Webhooks...)
	for _, c := range r.tagged() {
		out = append(out, c.Webhooks...)
	}
	return out, true
}

// configurations are those of one kind, the revision's own first.
func (r *registrations) configurations(kind string) (out []configuration) {
	if kind == kindMutating {
		all := r.tagged()
		if own := r.own(); own != nil {
			all = append([]*admissionregistrationv1.MutatingWebhookConfiguration{own}, all...)
		}
		for _, c := range all {
			next := configuration{name: c.Name}
			for _, w := range c.Webhooks {
				next.hooks = append(next.hooks, hook{w.Name, w.ClientConfig.CABundle})
			}
			out = append(out, next)
		}
		return out
	}
	object, ok, err := r.validating.GetStore().GetByKey(r.name)
	if err != nil || !ok {
		return nil
	}
	next := configuration{name: r.name}
	for _, w := range object.(*admissionregistrationv1.ValidatingWebhookConfiguration).Webhooks {
		next.hooks = append(next.hooks, hook{w.Name, w.ClientConfig.CABundle})
	}
	return append(out, next)
}

// hold reports whether every webhook has the bundle.
func (r *registrations) hold(bundle []byte) bool {
	for _, kind := range []string{kindMutating, kindValidating} {
		for _, c := range r.configurations(kind) {
			for _, h := range c.hooks {
				if !bytes.Equal(h.bundle, bundle) {
					return false
				}
			}
		}
	}
	return true
}

// operation is one of a JSON patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// bundlePatch sets the bundle where it differs. Each write is preceded by a test
// of the webhook's name, so that it never changes another webhook that has moved to
// its index. nil when nothing differs.
func bundlePatch(hooks []hook, bundle []byte) (ops []operation) {
	for i, h := range hooks {
		if bytes.Equal(h.bundle, bundle) {
			continue
		}
		at := fmt.Sprintf("/webhooks/%d", i)
		ops = append(ops, operation{"test", at + "/name", h.name}, operation{"add", at + "/clientConfig/caBundle", bundle})
	}
	return ops
}

// publish patches caBundle, and nothing else, where it differs from the bundle.
func (r *registrations) publish(ctx context.Context, bundle []byte, count func(kind string, err error)) error {
	var errs []error
	for _, kind := range []string{kindMutating, kindValidating} {
		for _, c := range r.configurations(kind) {
			ops := bundlePatch(c.hooks, bundle)
			if len(ops) == 0 {
				continue
			}
			patch, err := json.Marshal(ops)
			if err == nil {
				err = r.patch(ctx, kind, c.name, patch)
			}
			count(kind, err)
			if err != nil {
				errs = append(errs, fmt.Errorf("patch caBundle of %s %s: %w", kind, c.name, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (r *registrations) patch(ctx context.Context, kind, name string, patch []byte) (err error) {
	api := r.client.AdmissionregistrationV1()
	if kind == kindMutating {
		_, err = api.MutatingWebhookConfigurations().Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: managedBy})
	} else {
		_, err = api.ValidatingWebhookConfigurations().Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: managedBy})
	}
	return err
}
