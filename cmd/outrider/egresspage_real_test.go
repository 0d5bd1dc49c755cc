package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/egress/report"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/test/page"
)

// reportOf is the EgressReport of a namespace.
func reportOf(t *testing.T, namespace string, hosts map[report.Workload][]report.Destination) string {
	t.Helper()
	table, now := report.NewTable(report.DefaultLimits), time.Now()
	for w, all := range hosts {
		for _, d := range all {
			table.Observe(w, d, report.Counts{First: now.Add(-time.Hour), Last: now.Add(-time.Minute), Connections: 2})
		}
	}
	text, err := json.Marshal(table.Content())
	kit.Must(t, err)
	object := map[string]any{}
	kit.Must(t, json.Unmarshal(text, &object))
	object["apiVersion"], object["kind"] = report.Group+"/"+report.Version, report.Kind
	object["metadata"] = map[string]string{"name": report.Name, "namespace": namespace}
	text, err = json.Marshal(object)
	kit.Must(t, err)
	return string(text)
}

func destination(host string, port uint16, protocol report.Protocol, verdict report.Verdict) report.Destination {
	return report.Destination{Host: host, Port: port, Protocol: protocol, Verdict: verdict, Rule: "allow_any"}
}

// TestEgressPage runs the commands of docs/egress-reports.md, in their order, on a real API
// server: what is proposed is accepted, and then nothing would be blocked.
func TestEgressPage(t *testing.T) {
	kube.Require(t)
	server, err := kube.Start(t.Context(), kube.Options{Progress: os.Stderr}) // others have istio-system and shop
	kit.Must(t, err)
	t.Cleanup(func() { kit.Must(t, server.Stop()) })
	apply := func(text string, args ...string) string {
		t.Helper()
		cmd := server.Kubectl(t.Context(), append([]string{"apply"}, args...)...)
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return string(out)
	}
	apply("", "--server-side", "-f", "../../deploy/crds")
	wait := server.Kubectl(t.Context(), "wait", "--for=condition=Established", "--timeout=30s", "-f", "../../deploy/crds")
	if out, err := wait.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, ns := range []string{"istio-system", "shop", "bank"} {
		if out, err := server.Kubectl(t.Context(), "create", "namespace", ns).CombinedOutput(); err != nil && !strings.Contains(string(out), "AlreadyExists") {
			t.Fatalf("%s", out)
		}
	}
	configMap(t, server, "istio-system", "istio-sidecar-injector", map[string]string{"values": "{}"})
	apply(reportOf(t, "shop", map[report.Workload][]report.Destination{
		{Kind: "Deployment", Name: "checkout"}: {destination("api.pay.example", 443, report.TLS, report.Passthrough), destination("192.0.2.7", 5432, report.TCP, report.Passthrough)},
		{Kind: "CronJob", Name: "nightly"}:     {destination("mirror.example", 80, report.HTTP, report.Passthrough), destination("api.pay.example", 443, report.TLS, report.Passthrough)},
	}), "-f", "-")
	apply(reportOf(t, "bank", map[report.Workload][]report.Destination{{Kind: "Deployment", Name: "vault"}: {destination("bank.example", 443, report.TLS, report.Blocked)}}), "-f", "-")
	path := writeKubeconfig(t, server)
	outrider := func(args ...string) ran {
		return runWith(t, "", append(args, "--kubeconfig", path, "--context", "there")...)
	}
	if got := outrider("egress", "verify", "-n", "shop"); got.code != 1 || !strings.Contains(got.out, "would block 4 of 4 reported hosts") || !strings.Contains(got.out, "mirror.example") {
		t.Errorf("before: %+v", got)
	}
	egressHints(t, server, apply, outrider)
	docs, err := filepath.Abs("../../docs/egress-reports.md")
	kit.Must(t, err)
	text, err := os.ReadFile(docs)
	kit.Must(t, err)
	t.Chdir(t.TempDir())
	commands := 0
	for _, block := range page.Of(string(text), "sh") {
		for line := range strings.Lines(block.Body) {
			commands++
			line, file, redirected := strings.Cut(strings.TrimSpace(line), " > ")
			words := strings.Fields(line)
			if words[0] == "kubectl" {
				if out, err := server.Kubectl(t.Context(), words[1:]...).CombinedOutput(); err != nil {
					t.Errorf("%s: %v: %s", line, err, out)
				}
				continue
			}
			args := words[1:]
			if words[1] != "validate" {
				args = append(args, "--kubeconfig", path, "--context", "there")
			}
			got := runWith(t, "", args...)
			if got.code != exitOK {
				t.Errorf("%s: %+v", line, got)
			}
			if redirected {
				kit.Must(t, os.WriteFile(file, []byte(got.out), 0o600))
				want := []string{"kind: Sidecar"}
				if file == "shop.yaml" {
					want = []string{"CronJob/nightly, Deployment/checkout; last seen ", "name: nightly-http-80", `- "192.0.2.7" # Deployment/checkout`}
				}
				for _, part := range want {
					if !strings.Contains(got.out, part) {
						t.Errorf("%q is not in\n%s", part, got.out)
					}
				}
			}
			switch line {
			case "outrider egress hosts -n shop":
				if !strings.HasPrefix(got.out, "WORKLOAD") || strings.Count(got.out, "\n") != 5 || strings.Contains(got.out, "bank") {
					t.Errorf("%s", got.out)
				}
			case "outrider egress hosts -A --verdict blocked":
				if !strings.HasPrefix(got.out, "NAMESPACE") || strings.Count(got.out, "\n") != 2 || !strings.Contains(got.out, "bank.example") {
					t.Errorf("%s", got.out)
				}
			case "outrider egress verify -n shop":
				if !strings.HasPrefix(got.out, "REGISTRY_ONLY in namespace shop would have blocked none of the 4 reported hosts") {
					t.Errorf("%s", got.out)
				}
			}
		}
	}
	if commands < 10 {
		t.Errorf("only %d commands", commands)
	}
	if got := outrider("egress", "propose", "-n", "shop"); got.code != exitOK || got.out != "" || !strings.Contains(got.err, "no hosts are reported") && !strings.Contains(got.err, "nothing to propose") {
		t.Errorf("after all: %+v", got)
	}
}

// egressHints: where there is nothing to list or to propose, or not all of it, the commands
// state why and what to do.
func egressHints(t *testing.T, server *kube.Server, apply func(string, ...string) string, outrider func(...string) ran) {
	t.Helper()
	expect := func(code int, text string, args ...string) ran {
		t.Helper()
		got := outrider(args...)
		if got.code != code || !strings.Contains(got.err+got.out, text) {
			t.Errorf("outrider %v: %+v, want code %d and %q", args, got, code, text)
		}
		return got
	}
	if out, err := server.Kubectl(t.Context(), "create", "namespace", "quiet").CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	noSidecar := `no pod has a sidecar there; "outrider status -n quiet" shows why`
	expect(exitOK, "no hosts are reported in namespace quiet; "+noSidecar, "egress", "hosts", "-n", "quiet")
	expect(exitOK, "No hosts are reported in namespace quiet; "+noSidecar, "egress", "verify", "-n", "quiet")
	expect(exitOK, "nothing to propose: no hosts are reported in namespace quiet; "+noSidecar, "egress", "propose", "-n", "quiet")
	got := expect(exitError, "--enforce: no hosts are reported in namespace quiet, so the Sidecar would block all hosts outside the cluster; "+noSidecar, "egress", "propose", "-n", "quiet", "--enforce")
	if got.out != "" {
		t.Errorf("printed: %s", got.out)
	}
	apply(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: quiet}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: quiet, annotations: {sidecar.istio.io/status: "{}"}}, spec: {automountServiceAccountToken: false, containers: [{name: web, image: web}]}}`, "-f", "-")
	expect(exitOK, "a host is reported up to a minute after", "egress", "hosts", "-n", "quiet")
	apply(`apiVersion: apps/v1
kind: Deployment
metadata: {name: outrider-xds, namespace: istio-system, labels: {app.kubernetes.io/part-of: outrider}}
spec:
  selector: {matchLabels: {app: outrider-xds}}
  template:
    metadata: {labels: {app: outrider-xds}}
    spec: {containers: [{name: outrider, image: outrider, args: [serve, --egress-reports=false]}]}
`, "-f", "-")
	expect(exitOK, "reports are disabled (--egress-reports=false)", "egress", "hosts", "-n", "quiet")
	if out, err := server.Kubectl(t.Context(), "-n", "istio-system", "delete", "deployment", "outrider-xds").CombinedOutput(); err != nil {
		t.Errorf("%s", out)
	}
	expect(exitOK, "none that the flags select", "egress", "hosts", "-n", "bank", "--verdict", "passthrough")
	expect(exitUsage, `--verdict: "x": unknown verdict`, "egress", "propose", "-n", "bank", "--verdict", "x")

	// A Sidecar that there is stays the only one.
	apply("{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: main, namespace: shop}, spec: {egress: [{hosts: [./*]}]}}", "-f", "-")
	got = expect(exitOK, "warning: --enforce adds no Sidecar: Sidecar shop/main applies to the namespace already", "egress", "propose", "-n", "shop", "--enforce")
	if strings.Contains(got.out, "kind: Sidecar") || !strings.Contains(got.out, "kind: ServiceEntry") {
		t.Errorf("%s", got.out)
	}
	_, command, _ := strings.Cut(got.err, "kubectl ")
	command, patch, _ := strings.Cut(strings.TrimSpace(command), " -p ")
	if out, err := server.Kubectl(t.Context(), append(strings.Fields(command), "-p", strings.Trim(patch, "'"))...).CombinedOutput(); err != nil {
		t.Errorf("%s: %s", command, out)
	}
	expect(exitOK, "# Sidecar shop/main blocks everything else in the namespace already.", "egress", "propose", "-n", "shop", "--enforce")
	if out, err := server.Kubectl(t.Context(), "-n", "shop", "delete", "sidecars.networking.istio.io", "main").CombinedOutput(); err != nil {
		t.Errorf("%s", out)
	}
	egressOfSelected(t, server, apply, expect)
	tenant := runWith(t, "", "egress", "hosts", "-n", "shop", "--kubeconfig", tenantKubeconfig(t, server), "--context", "there")
	if tenant.code != exitError || !strings.Contains(tenant.err, "requires the permission to list egressreports.outrider.dev: the roles view, edit and admin have it for a namespace") {
		t.Errorf("without permissions: %+v", tenant)
	}
}

// egressOfSelected: a Sidecar that selects one workload by the labels of its pods blocks
// what it does not expose, for that workload alone.
func egressOfSelected(t *testing.T, server *kube.Server, apply func(string, ...string) string, expect func(int, string, ...string) ran) {
	t.Helper()
	apply(`{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: pay, namespace: shop}, spec: {hosts: [api.pay.example], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: checkout, namespace: shop}, spec: {workloadSelector: {labels: {app: checkout}}, egress: [{hosts: [./other.example]}]}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: shop}}
---
apiVersion: v1
kind: Pod
metadata:
  name: checkout-5d4b8c7f9-x2x4z
  namespace: shop
  labels: {app: checkout, pod-template-hash: 5d4b8c7f9}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: checkout-5d4b8c7f9, uid: 4fb1f4a1-0000-4000-8000-000000000000, controller: true}]
spec: {automountServiceAccountToken: false, containers: [{name: app, image: app}]}
`, "-f", "-")
	got := expect(exitError, "would block 3 of 4 reported hosts", "egress", "verify", "-n", "shop")
	if !strings.Contains(got.err, "warning: no pods are found of CronJob/nightly, so their labels are not known") {
		t.Errorf("stderr: %s", got.err)
	}
	for line := range strings.Lines(got.out) {
		if strings.Contains(line, "api.pay.example") && !strings.Contains(line, "Deployment/checkout") {
			t.Errorf("blocked although it is declared, and no Sidecar selects its workload: %s", line)
		}
	}
	got = expect(exitOK, "api.pay.example on port 443 (TLS), of Deployment/checkout, would be blocked with this proposal, too: Sidecar shop/checkout does not expose shop/api.pay.example; add it to egress.hosts there", "egress", "propose", "-n", "shop")
	if strings.Contains(got.out, "api.pay.example") {
		t.Errorf("declared again:\n%s", got.out)
	}
	if out, err := server.Kubectl(t.Context(), "-n", "shop", "delete", "sidecars.networking.istio.io/checkout", "serviceentries.networking.istio.io/pay", "pod/checkout-5d4b8c7f9-x2x4z", "--force", "--grace-period=0").CombinedOutput(); err != nil {
		t.Errorf("%s", out)
	}
}
