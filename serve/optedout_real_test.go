package serve

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A pod that its label keeps from the injection is created, with a warning where the
// policy is REGISTRY_ONLY, and where injection is enabled.
func TestOptedOutPods(t *testing.T) {
	i := startInstance(t, "{}").ready()
	ns, other := i.workspace(), i.Namespace(t, nil)
	i.validateEdits()
	create := func(namespace, metadata string) string {
		out, _ := i.kubectl(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"job",`+metadata+`},"spec":{"containers":[{"name":"a","image":"a"}]}}`,
			"create", "--dry-run=server", "-n", namespace, "-f", "-")
		return out
	}
	const label = `"labels":{"sidecar.istio.io/inject":"false"}`
	i.eventually("no warning with ALLOW_ANY", func() string {
		if out := create(ns, label); out != "pod/job created (server dry run)\n" {
			return out
		}
		return ""
	})
	_, err := i.Client.CoreV1().ConfigMaps(i.namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "istio-" + i.revision}, Data: map[string]string{"mesh": "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"},
	}, metav1.CreateOptions{})
	i.must(err)
	i.eventually("a warning with REGISTRY_ONLY", func() string {
		if out := create(ns, label); !strings.Contains(out, `Warning: label sidecar.istio.io/inject: "false": bypasses REGISTRY_ONLY: `) || !strings.Contains(out, "pod/job created") {
			return out
		}
		return ""
	})
	if out := create(other, label); strings.Contains(out, "Warning") {
		t.Errorf("without injection: %s", out)
	}
	owned := label + `,"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"r","uid":"1","controller":true}]`
	if out := create(ns, owned); strings.Contains(out, "Warning") {
		t.Errorf("created by a controller, which does not read it: %s", out)
	}
}
