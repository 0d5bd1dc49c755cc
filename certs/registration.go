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
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// registrations are the two webhook configurations as the API server has them.
type registrations struct {
	client               kubernetes.Interface
	name                 string
	mutating, validating cache.SharedIndexInformer
}

func newRegistrations(client kubernetes.Interface, name string) *registrations {
	// The name is a field selector, so that a role may grant this one name.
	f := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(byName(name)),
		informers.WithTransform(stripManagedFields))
	return &registrations{
		client: client, name: name,
		mutating:   f.Admissionregistration().V1().MutatingWebhookConfigurations().Informer(),
		validating: f.Admissionregistration().V1().ValidatingWebhookConfigurations().Informer(),
	}
}

// informers are those of both; none where there are no registrations.
func (r *registrations) informers() []cache.SharedIndexInformer {
	if r == nil {
		return nil
	}
	return []cache.SharedIndexInformer{r.mutating, r.validating}
}

func byName(name string) func(*metav1.ListOptions) {
	return func(o *metav1.ListOptions) { o.FieldSelector = "metadata.name=" + name }
}

// hook is one webhook of a configuration.
type hook struct {
	name   string
	bundle []byte
}

// The kinds, as messages and metrics have them.
const (
	kindMutating   = "MutatingWebhookConfiguration"
	kindValidating = "ValidatingWebhookConfiguration"
)

// registered is the mutating configuration; nil when there is none.
func (r *registrations) registered() *admissionregistrationv1.MutatingWebhookConfiguration {
	object, ok, err := r.mutating.GetStore().GetByKey(r.name)
	if err != nil || !ok {
		return nil
	}
	c, _ := object.(*admissionregistrationv1.MutatingWebhookConfiguration)
	return c
}

// hooks are the webhooks of one kind, in order.
func (r *registrations) hooks(kind string) (out []hook) {
	if kind == kindMutating {
		if c := r.registered(); c != nil {
			for _, w := range c.Webhooks {
				out = append(out, hook{w.Name, w.ClientConfig.CABundle})
			}
		}
		return out
	}
	object, ok, err := r.validating.GetStore().GetByKey(r.name)
	if err != nil || !ok {
		return nil
	}
	for _, w := range object.(*admissionregistrationv1.ValidatingWebhookConfiguration).Webhooks {
		out = append(out, hook{w.Name, w.ClientConfig.CABundle})
	}
	return out
}

// hold reports whether every webhook has the bundle.
func (r *registrations) hold(bundle []byte) bool {
	for _, kind := range []string{kindMutating, kindValidating} {
		for _, h := range r.hooks(kind) {
			if !bytes.Equal(h.bundle, bundle) {
				return false
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
		ops := bundlePatch(r.hooks(kind), bundle)
		if len(ops) == 0 {
			continue
		}
		patch, err := json.Marshal(ops)
		if err == nil {
			err = r.patch(ctx, kind, patch)
		}
		count(kind, err)
		if err != nil {
			errs = append(errs, fmt.Errorf("patch caBundle of %s %s: %w", kind, r.name, err))
		}
	}
	return errors.Join(errs...)
}

func (r *registrations) patch(ctx context.Context, kind string, patch []byte) (err error) {
	api := r.client.AdmissionregistrationV1()
	if kind == kindMutating {
		_, err = api.MutatingWebhookConfigurations().Patch(ctx, r.name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: managedBy})
	} else {
		_, err = api.ValidatingWebhookConfigurations().Patch(ctx, r.name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: managedBy})
	}
	return err
}
