package deploy

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	realhelm "github.com/outrider-mesh/outrider/test/helm"
	"github.com/outrider-mesh/outrider/test/kube"
)

// An installation that collides with what is in the cluster is rejected, with what it
// collides with and the fix, all at once. Nothing is created.
func TestPreflight(t *testing.T) {
	s := kube.Require(t)
	const revision = "preflight"
	ns := s.Namespace(t, nil)
	install := func(values ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), realhelm.Require(t), slices.Concat(
			[]string{"install", "test", "chart", "--namespace", ns, "--dry-run=server", "--set", "revision=" + revision}, values)...)
		cmd.Env = slices.Concat(s.Kubectl(t.Context()).Env, []string{"HOME=" + t.TempDir()})
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := install(); err != nil {
		t.Fatalf("an empty namespace: %v\n%s", err, out)
	}
	apply := func(text string) {
		cmd := s.Kubectl(t.Context(), "apply", "-f", "-")
		cmd.Stdin = strings.NewReader(strings.ReplaceAll(text, "NS", ns))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	t.Cleanup(func() {
		_ = s.Kubectl(t.Context(), "delete", "mutatingwebhookconfiguration", "istio-sidecar-injector-preflight", "outrider-sidecar-injector-preflight").Run()
	})
	var all, others []string
	for _, c := range []struct{ object, want, adopted string }{
		{`{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: istio-sidecar-injector-preflight, labels: {istio.io/rev: preflight}}}`,
			`MutatingWebhookConfiguration istio-sidecar-injector-preflight (no Helm release): Istio's revision "preflight" is installed, and injects the same pods; install Outrider as another revision: --set revision=outrider, or uninstall Istio first: istioctl uninstall --revision preflight`, "no"},
		{`{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: outrider-sidecar-injector-preflight, annotations: {meta.helm.sh/release-name: other, meta.helm.sh/release-namespace: elsewhere}}}`,
			`MutatingWebhookConfiguration outrider-sidecar-injector-preflight: revision "preflight" is installed already, by Helm release other in namespace elsewhere; upgrade that release, or install another revision: --set revision=NAME`, "no"},
		{`{apiVersion: v1, kind: ConfigMap, metadata: {name: istio-sidecar-injector-preflight, namespace: NS, labels: {operator.istio.io/component: Pilot}}}`,
			`ConfigMap ` + ns + `/istio-sidecar-injector-preflight (no Helm release): it configures Istio's revision "preflight"; install Outrider in another namespace, or as another revision: --set revision=outrider`, "no"},
		{`{apiVersion: v1, kind: ConfigMap, metadata: {name: istio-preflight, namespace: NS}}`,
			`ConfigMap ` + ns + `/istio-preflight: it exists, and Helm does not manage it; adopt it, with its settings among your values: add --take-ownership --force-conflicts --set hooks.adopt=true; or delete it`, "yes"},
		{`{apiVersion: v1, kind: Namespace, metadata: {name: NS, labels: {istio-injection: enabled}}}`,
			`Namespace ` + ns + `: label istio-injection=enabled: the namespace of the injector is never injected; remove the label: kubectl label namespace ` + ns + ` istio-injection-`, "no"},
	} {
		apply(c.object)
		all = append(all, c.want)
		if c.adopted == "no" {
			others = append(others, c.want)
		}
	}
	for _, tt := range []struct {
		want   []string
		values []string
	}{
		{all, nil}, {others, []string{"--set", "hooks.adopt=true"}},
	} {
		out, err := install(tt.values...)
		for _, want := range all {
			if err == nil || strings.Contains(out, want) != slices.Contains(tt.want, want) {
				t.Errorf("with %v: %v\ngot:\n%s\nthis is part of it: %v:\n%s", tt.values, err, out, slices.Contains(tt.want, want), want)
			}
		}
	}
	if out, err := install("--set", "hooks.preflight=false", "--take-ownership"); err != nil {
		t.Errorf("hooks.preflight=false: %v\n%s", err, out)
	}
	apply(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: outrider-preflight, namespace: NS}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}}`)
	if out, err := install(); err == nil || !strings.Contains(out, "Deployment "+ns+"/outrider-preflight: Outrider is installed already, by kubectl apply; adopt it: ") || strings.Contains(out, "ConfigMap "+ns+"/istio-preflight") {
		t.Errorf("an installation by kubectl: %v\n%s", err, out)
	}
}
