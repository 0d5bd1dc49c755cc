package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/check"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

// TestCheckWithFewRights: on a real API server without an installation. What a tenant cannot
// read is reported, and no check passes that depends on it; an administrator learns what is
// missing.
func TestCheckWithFewRights(t *testing.T) {
	server := kube.Require(t)
	namespace := server.Namespace(t, nil)
	report := func(path string, more ...string) (check.Report, map[string]check.Result) {
		t.Helper()
		got := runWith(t, "", append([]string{"check", "-o", "json", "-i", namespace, "--kubeconfig", path, "--context", "there"}, more...)...)
		var r check.Report
		if err := json.Unmarshal([]byte(got.out), &r); err != nil {
			t.Fatalf("%v: %+v", err, got)
		}
		if failed := r.Status == check.Failed; failed != (got.code == exitError) {
			t.Errorf("status %s, exit code %d", r.Status, got.code)
		}
		worst := map[string]check.Result{}
		for _, found := range r.Results {
			if found.Status.Compare(worst[found.Check].Status) >= 0 {
				worst[found.Check] = found
			}
		}
		return r, worst
	}
	_, tenant := report(tenantKubeconfig(t, server))
	if r := tenant["rights"]; r.Status != check.Warning || !slices.ContainsFunc(r.Details, func(d string) bool { return strings.HasPrefix(d, "nodes: ") && strings.Contains(d, `User "tenant"`) }) {
		t.Errorf("rights: %+v", r)
	}
	for id, r := range tenant {
		if r.Status == check.Passed && !slices.Contains([]string{"api-reachable", "api-version", "openshift-scc"}, id) {
			t.Errorf("passed without being read: %+v", r)
		}
	}
	_, admin := report(writeKubeconfig(t, server))
	for _, id := range []string{"deployments", "services", "crds", "webhook-registered"} {
		if r := admin[id]; r.Status != check.Failed || r.Fix == "" {
			t.Errorf("without an installation: %+v", r)
		}
	}
	before, _ := report(writeKubeconfig(t, server), "--pre")
	if before.Status == check.Failed {
		t.Errorf("before an installation: %s", before.Text(false))
	}
}

// TestCheckProxyWithFewRights: a tenant with get on pods alone learns what they show, and
// what is missing; no check passes that depends on it.
func TestCheckProxyWithFewRights(t *testing.T) {
	server := kube.Require(t)
	namespace := server.Namespace(t, nil)
	injected := runWith(t, deployment(""), "kube-inject", "-f", "-")
	if injected.code != exitOK {
		t.Fatalf("%+v", injected)
	}
	var found struct {
		Spec struct{ Template corev1.PodTemplateSpec }
	}
	kit.Must(t, yaml.Unmarshal([]byte(injected.out), &found))
	pod := &corev1.Pod{ObjectMeta: found.Spec.Template.ObjectMeta, Spec: found.Spec.Template.Spec}
	pod.Name = "web"
	endPods(t, server.Client, namespace)
	_, err := server.Client.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{})
	kit.Must(t, err)
	path := tenantKubeconfig(t, server)
	args := []string{"check", "--proxy", "web", "-n", namespace, "-o", "json", "--kubeconfig", path, "--context", "there"}
	if got := runWith(t, "", args...); got.code != exitError || !strings.Contains(got.err, `User "tenant" cannot get resource "pods"`) {
		t.Errorf("without rights: %+v", got)
	}
	grant(t, server, namespace, []string{"pods"}, "get")
	var r check.Report
	var got ran
	kit.Eventually(t, "the rights are in effect", func() error {
		got = runWith(t, "", args...)
		return json.Unmarshal([]byte(got.out), &r)
	})
	var passed []string
	for _, found := range r.Results {
		if found.Status == check.Passed {
			passed = append(passed, found.Check)
		}
	}
	if want := []string{"api-reachable", "proxy-injected"}; !slices.Equal(passed, want) || got.code != exitError {
		t.Errorf("passed: %v, want %v: %+v", passed, want, got)
	}
	missing := strings.Join(r.Results[1].Details, "\n")
	for _, want := range []string{"pods/log", "configmaps", "compared"} {
		if r.Results[1].Check != "rights" || !strings.Contains(missing, want) {
			t.Errorf("%q is not in %+v", want, r.Results[1])
		}
	}
}
