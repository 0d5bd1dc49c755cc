package main

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

// TestExplainWithFewRights: who can read a pod and the two ConfigMaps alone learns what
// follows from these, and which right is missing for the rest.
func TestExplainWithFewRights(t *testing.T) {
	server := kube.Require(t)
	namespace := server.Namespace(t, map[string]string{"istio-injection": "enabled"})
	configMap(t, server, namespace, "istio-sidecar-injector", map[string]string{"config": "policy: enabled\n"})
	ctx := t.Context()
	_, err := server.Client.CoreV1().Pods(namespace).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "agent"},
		Spec:       corev1.PodSpec{HostNetwork: true, Containers: []corev1.Container{{Name: "agent", Image: "agent"}}},
	}, metav1.CreateOptions{})
	kit.Must(t, err)
	grant(t, server, namespace, []string{"pods", "configmaps"}, "get")
	path := tenantKubeconfig(t, server)
	args := []string{"explain", "agent", "-n", namespace, "--kubeconfig", path, "--context", "there", "-i", namespace}

	got := runWith(t, "", args...)
	for _, want := range []string{
		"Pod " + namespace + "/agent: not injected\n", "1. Webhook: unknown\n   mutatingwebhookconfigurations.admissionregistration.k8s.io is forbidden",
		"2. Decision: not injected (host_network)\n",
	} {
		if got.code != exitOK || !strings.Contains(got.out, want) {
			t.Errorf("%q: %+v", want, got)
		}
	}
	if got := runWith(t, "", append(args, "--to", "192.0.2.1")...); got.code != exitError || !strings.Contains(got.err, `list services: services is forbidden: User "tenant"`) || !strings.Contains(got.err, "--to requires the permission to list") {
		t.Errorf("%+v", got)
	}
}
