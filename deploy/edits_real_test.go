package deploy

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	realhelm "github.com/outrider-mesh/outrider/test/helm"
	"github.com/outrider-mesh/outrider/test/kube"
)

// An upgrade does not overwrite what kubectl changed in a ConfigMap: it reports a
// conflict, and with --force-conflicts the values of the release are back.
func TestUpgradeKeepsEdits(t *testing.T) {
	s := kube.Require(t)
	ns := s.Namespace(t, nil)
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), realhelm.Require(t), slices.Concat(args,
			[]string{"edits", "chart", "--namespace", ns, "--no-hooks", "--set", "revision=edits", "--set", "hooks.preflight=false"})...)
		cmd.Env = slices.Concat(s.Kubectl(t.Context()).Env, []string{"HOME=" + t.TempDir()})
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	values := func() string {
		out, err := s.Kubectl(t.Context(), "-n", ns, "get", "configmap", "istio-sidecar-injector-edits", "-o", "jsonpath={.data.values}").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	if out, err := run("install"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() {
		cmd := exec.Command(realhelm.Require(t), "uninstall", "edits", "--namespace", ns, "--no-hooks")
		cmd.Env = slices.Concat(s.Kubectl(t.Context()).Env, []string{"HOME=" + t.TempDir()})
		_ = cmd.Run()
	})
	const edit = `{"data": {"values": "global: {proxy: {excludeIPRanges: 192.0.2.0/24}}"}}`
	if out, err := s.Kubectl(t.Context(), "-n", ns, "patch", "configmap", "istio-sidecar-injector-edits", "--type=merge", "-p", edit).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := run("upgrade")
	if err == nil || !strings.Contains(out, "conflict") || !strings.Contains(out, ".data.values") {
		t.Errorf("an upgrade after an edit: %v\n%s", err, out)
	}
	if got := values(); !strings.Contains(got, "192.0.2.0/24") {
		t.Errorf("the edit was overwritten: %s", got)
	}
	if out, err := run("upgrade", "--force-conflicts"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := values(); strings.Contains(got, "192.0.2.0/24") {
		t.Errorf("the edit is still there: %s", got)
	}
}
