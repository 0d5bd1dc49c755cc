package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/check"
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
