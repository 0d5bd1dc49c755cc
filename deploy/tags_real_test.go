package deploy

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	realhelm "github.com/outrider-mesh/outrider/test/helm"
	"github.com/outrider-mesh/outrider/test/kube"
)

// A tag, and the default revision, move between releases; what another injector has, or a
// release that a tag was taken from, is not moved.
func TestPreflightOfTags(t *testing.T) {
	s := kube.Require(t)
	ns := s.Namespace(t, nil)
	helm := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), realhelm.Require(t), append(args, "--namespace", ns, "--set", "revision=moves")...)
		cmd.Env = slices.Concat(s.Kubectl(t.Context()).Env, []string{"HOME=" + t.TempDir()})
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	const kind = "mutatingwebhookconfiguration"
	kubectl := func(stdin string, args ...string) {
		t.Helper()
		cmd := s.Kubectl(t.Context(), args...)
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("kubectl %v: %v\n%s", args, err, out)
		}
	}
	// other is a configuration of another revision; no request matches it.
	other := func(name, labels, service, key, value string) string {
		return `{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration,
metadata: {name: ` + name + `, labels: {istio.io/rev: stable` + labels + `}, annotations: {meta.helm.sh/release-name: stable, meta.helm.sh/release-namespace: elsewhere}},
webhooks: [{name: namespace.sidecar-injector.istio.io, admissionReviewVersions: [v1], sideEffects: None, rules: [{apiGroups: [none], apiVersions: [v1], operations: [CREATE], resources: [none]}],
 clientConfig: {service: {name: ` + service + `, namespace: elsewhere}}, namespaceSelector: {matchExpressions: [{key: ` + key + `, operator: In, values: [` + value + `]}]}}]}`
	}
	const (
		tag       = "istio-revision-tag-moving"
		tagged    = "revisionTags={moving}"
		first     = "outrider-sidecar-injector-stable"
		byDefault = "defaultRevision=moves"
	)
	t.Cleanup(func() {
		_ = s.Kubectl(t.Context(), "delete", "--ignore-not-found", kind, tag, first, "outrider-sidecar-injector-moves").Run()
	})
	install := []string{"install", "test", "chart", "--dry-run=server", "--set"}
	upgrade := []string{"upgrade", "test", "chart", "--dry-run=server", "--set"}
	expect := func(what string, command []string, value string, flags []string, wanted ...string) {
		t.Helper()
		out, err := helm(slices.Concat(command, []string{value}, flags)...)
		if (err == nil) != (len(wanted) == 0) {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
		for _, want := range wanted {
			if !strings.Contains(out, want) {
				t.Errorf("%s:\n%s\nthis is not part of it: %s", what, out, want)
			}
		}
	}
	take := []string{"--take-ownership"}

	kubectl(other(tag, ", istio.io/tag: moving", "istiod-stable", "istio.io/rev", "moving"), "apply", "-f", "-")
	expect("a tag of Istio", install, tagged, take, "MutatingWebhookConfiguration "+tag+" (Helm release stable in namespace elsewhere): Istio's revision", "uninstall Istio first")
	kubectl(other(tag, ", istio.io/tag: moving", "outrider-stable", "istio.io/rev", "moving"), "apply", "-f", "-")
	expect("a tag of another revision", install, tagged, nil, "MutatingWebhookConfiguration", tag, "invalid ownership metadata")
	expect("a tag of another revision, taken", install, tagged, take)

	kubectl(other(first, ", app: sidecar-injector", "outrider-stable", "istio-injection", "enabled"), "apply", "-f", "-")
	expect("a second default revision", install, byDefault, nil, "MutatingWebhookConfiguration "+first+" (Helm release stable in namespace elsewhere): its webhook namespace.sidecar-injector.istio.io injects pods of namespaces with istio-injection=enabled, too; install this revision beside it first")
	if out, err := helm("install", "test", "chart", "--no-hooks", "--set", "hooks.preflight=false", "--set", tagged, "--take-ownership", "--force-conflicts"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	expect("the default revision moves", upgrade, byDefault, nil)
	expect("the same tag again", upgrade, tagged, nil)
	kubectl("", "annotate", "--overwrite", kind, tag, "meta.helm.sh/release-name=stable", "meta.helm.sh/release-namespace=elsewhere")
	expect("a tag that was moved away", upgrade, tagged, nil, "MutatingWebhookConfiguration "+tag+`: tag "moving" was moved to Helm release stable in namespace elsewhere; remove it from this release's revisionTags`)
	expect("it is removed", upgrade, "revisionTags={}", nil)
}
