package certs

import (
	"fmt"
	"maps"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// labelInject on a pod asks for a sidecar, whatever its namespace says.
const labelInject = "sidecar.istio.io/inject"

// namespace is what decides whether its pods may be injected.
type namespace struct {
	labels map[string]string
	ending bool
	// asking are the labels of its pods that ask to be injected.
	asking []map[string]string
	// injected says that one of its pods has a sidecar of this revision, whoever
	// gave it that: a file may have been injected.
	injected bool
}

// wanted are the namespaces where the registration sends a pod to the webhook:
// any pod, or one that is there and asks for it; and where an injected pod is, by
// whatever way it came. It goes by the selectors that
// are registered, which an administrator may have changed.
func wanted(r *admissionregistrationv1.MutatingWebhookConfiguration, namespaces map[string]namespace) (map[string]bool, error) {
	type selectors struct{ namespace, object labels.Selector }
	var all []selectors
	for _, w := range r.Webhooks {
		// The API server fills in the empty selector, which selects everything.
		ns, err := metav1.LabelSelectorAsSelector(w.NamespaceSelector)
		if err != nil {
			return nil, fmt.Errorf("namespaceSelector of webhook %s: %w", w.Name, err)
		}
		object, err := metav1.LabelSelectorAsSelector(w.ObjectSelector)
		if err != nil {
			return nil, fmt.Errorf("objectSelector of webhook %s: %w", w.Name, err)
		}
		all = append(all, selectors{ns, object})
	}
	out := map[string]bool{}
	for name, n := range namespaces {
		if n.ending {
			continue // nothing can be created there any more
		}
		out[name] = n.injected || slices.ContainsFunc(all, func(s selectors) bool {
			return s.namespace.Matches(labels.Set(n.labels)) &&
				(s.object.Matches(labels.Set(nil)) || slices.ContainsFunc(n.asking, func(pod map[string]string) bool {
					return s.object.Matches(labels.Set(pod))
				}))
		})
	}
	maps.DeleteFunc(out, func(_ string, selected bool) bool { return !selected })
	return out, nil
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
