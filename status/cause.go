package status

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/explain"
)

// Namespace is a namespace with the evidence of who wrote its labels.
type Namespace struct {
	explain.Namespace
	Managed []metav1.ManagedFieldsEntry
}

// clockPrecision is that of the times of objects, which are whole seconds.
const clockPrecision = time.Second

// written is the last time at which a manager wrote a label, as far as the object shows it.
// alone reports whether the manager owns no other field, so that it was this one.
func written(managed []metav1.ManagedFieldsEntry, label string) (at time.Time, by string, alone bool) {
	for _, e := range managed {
		if e.FieldsV1 == nil || e.Time == nil || e.Subresource != "" || e.Time.Time.Before(at) {
			continue
		}
		var fields map[string]json.RawMessage
		var metadata, labels map[string]json.RawMessage
		if json.Unmarshal(e.FieldsV1.GetRawBytes(), &fields) != nil || json.Unmarshal(fields["f:metadata"], &metadata) != nil || json.Unmarshal(metadata["f:labels"], &labels) != nil {
			continue
		}
		if _, ok := labels["f:"+label]; !ok {
			continue
		}
		delete(labels, ".")
		at, by, alone = e.Time.Time, e.Manager, len(fields) == 1 && len(metadata) == 1 && len(labels) == 1
	}
	return at, by, alone
}

// cause is why a pod that the webhook selects has no sidecar. then is what the settings
// that were active when it was created make of it; nil where these are not known.
func cause(p *corev1.Pod, by explain.Webhook, n Namespace, r explain.Registered, then *settled) Cause {
	created := p.CreationTimestamp.Time
	if label, ofPod := by.SelectedBy(); label != "" {
		who, managed := "namespace "+n.Name, n.Managed
		if ofPod {
			who, managed = "the pod", p.ManagedFields
		}
		if at, manager, alone := written(managed, label); at.Sub(created) > clockPrecision {
			text := fmt.Sprintf("the label %s of %s was written at %s by %s, after the pod was created", label, who, stamp(at), manager)
			if !alone {
				text += "; or another field of this manager was"
			}
			return Cause{LabelLater, text}
		}
	}
	w, c := webhookOf(by.Rule.Source, r)
	switch {
	case w == nil:
		return Cause{UnknownCause, "unknown"}
	case c.CreationTimestamp.Sub(created) > clockPrecision:
		return Cause{RegisteredLater, fmt.Sprintf("MutatingWebhookConfiguration %s was created at %s, after the pod", c.Name, stamp(c.CreationTimestamp.Time))}
	case then != nil && then.decision.Result == Skipped:
		return Cause{SkippedThen, fmt.Sprintf("configuration %s, which was active when the pod was created, did not inject it: %s", then.hash, then.decision.Rule.Text)}
	case w.FailurePolicy != nil && *w.FailurePolicy == admissionregistrationv1.Ignore:
		return Cause{UnknownCause, "unknown; the failurePolicy of the webhook is Ignore: a pod is created without a sidecar while the webhook does not respond"}
	}
	return Cause{UnknownCause, "unknown; the failurePolicy of the webhook is Fail: while it is registered as now, no pod that it selects is created without it"}
}

// settled is what the settings of an earlier time make of a pod.
type settled struct {
	hash     string
	decision explain.Decision
}

// webhookOf finds the webhook that a rule names as its source.
func webhookOf(source string, r explain.Registered) (*admissionregistrationv1.MutatingWebhook, *admissionregistrationv1.MutatingWebhookConfiguration) {
	for i := range r.Configurations {
		c := &r.Configurations[i]
		for j := range c.Webhooks {
			if strings.HasSuffix(source, c.Name+", webhook "+c.Webhooks[j].Name) {
				return &c.Webhooks[j], c
			}
		}
	}
	return nil, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
