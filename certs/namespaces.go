package certs

import (
	"fmt"
	"maps"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// namespace is what selects a namespace for injection.
type namespace struct {
	labels      map[string]string
	terminating bool
	// optedIn are the labels of its pods that opt in to injection.
	optedIn []map[string]string
	// injected is true when one of its pods has a sidecar of this revision, also one
	// that was injected from a file.
	injected bool
}

// selected are the namespaces where a webhook configuration selects a pod: any
// pod, or an existing one that opts in; and those with an injected pod. It uses the
// selectors in the cluster, which an administrator may have changed.
func selected(webhooks []admissionregistrationv1.MutatingWebhook, namespaces map[string]namespace) (map[string]bool, error) {
	type selectors struct{ namespace, object labels.Selector }
	var all []selectors
	for _, w := range webhooks {
		// The API server defaults to the empty selector, which selects everything.
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
		if n.terminating {
			continue // nothing can be created there any more
		}
		out[name] = n.injected || slices.ContainsFunc(all, func(s selectors) bool {
			return s.namespace.Matches(labels.Set(n.labels)) &&
				(s.object.Matches(labels.Set(nil)) || slices.ContainsFunc(n.optedIn, func(pod map[string]string) bool {
					return s.object.Matches(labels.Set(pod))
				}))
		})
	}
	maps.DeleteFunc(out, func(_ string, selected bool) bool { return !selected })
	return out, nil
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
