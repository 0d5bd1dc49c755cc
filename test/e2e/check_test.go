package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/check"
)

// planted is a fault on the cluster: how it is made, which check finds it and by which text,
// and what fixes it, where that is not what the check prints.
type planted struct {
	plant, id, text string
	fix             string
}

const (
	fakeNode = `kubectl apply -f - <<'EOF'
apiVersion: v1
kind: Node
metadata: {name: %[1]s, labels: {kubernetes.io/os: linux, %[2]s}}
spec: {unschedulable: true}
EOF
kubectl patch node %[1]s --subresource=status --type merge -p '{"status":{"nodeInfo":{"kernelVersion":"%[3]s","kubeletVersion":"%[4]s"}}}'`
)

// quiet are faults that leave the installation working.
var quiet = []planted{
	{plant: "kubectl label namespace checked-psa pod-security.kubernetes.io/enforce=baseline", id: "pod-security", text: "Namespace checked-psa"},
	{plant: "kubectl -n checked-net apply -f - <<'EOF'\n" + `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-egress}
spec: {podSelector: {}, policyTypes: [Egress]}
EOF`, id: "network-policies", text: "NetworkPolicy checked-net/deny-egress"},
	{plant: "kubectl label namespace checked-ambient istio.io/dataplane-mode=ambient", id: "other-meshes", text: "Namespace checked-ambient"},
	{plant: "kubectl annotate namespace checked-linkerd linkerd.io/inject=enabled", id: "other-meshes", text: "Namespace checked-linkerd"},
	{plant: "kubectl label namespace checked-typo istio-injection=true --overwrite", id: "namespace-labels", text: "istio-injection=true"},
	{plant: "kubectl label namespace checked-both istio.io/rev=default", id: "namespace-labels", text: "Namespace checked-both has both labels"},
	{plant: "kubectl label namespace checked-rev istio-injection- istio.io/rev=canary", id: "namespace-labels", text: "istio.io/rev=canary"},
	{plant: "kubectl label namespace kube-public istio-injection=enabled", id: "namespace-labels", text: "Namespace kube-public"},
	{plant: "kubectl -n checked-quota create quota small --hard=limits.cpu=1m", id: "webhook-call", text: "ResourceQuota small", fix: "kubectl -n checked-quota delete quota small"},
	{plant: `kubectl patch mutatingwebhookconfiguration outrider-sidecar-injector --type json -p '[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}]'`,
		id: "webhook-failure-policy", text: "failurePolicy Ignore"},
	{plant: `kubectl patch mutatingwebhookconfiguration outrider-sidecar-injector --type json -p '[{"op":"add","path":"/webhooks/1/namespaceSelector/matchExpressions/-","value":{"key":"control-plane","operator":"DoesNotExist"}}]'`,
		id: "webhook-selectors", text: "control-plane", fix: "kubectl apply -f deploy/outrider.yaml"},
	{plant: `kubectl get mutatingwebhookconfiguration outrider-sidecar-injector -o json |
jq '.metadata={name:"istio-sidecar-injector",labels:{"istio.io/rev":"stable"}} | .webhooks[].clientConfig={url:"https://127.0.0.1:1/inject"} | .webhooks[].failurePolicy="Ignore" | .webhooks[].timeoutSeconds=1' | kubectl create -f -`,
		id: "other-injectors", text: "MutatingWebhookConfiguration istio-sidecar-injector", fix: "kubectl delete mutatingwebhookconfiguration istio-sidecar-injector"},
	{plant: "kubectl delete validatingwebhookconfiguration outrider-sidecar-injector", id: "webhook-registered", text: "ValidatingWebhookConfiguration", fix: "kubectl apply -f deploy/outrider.yaml"},
	{plant: fmt.Sprintf(fakeNode, "checked-fargate", "eks.amazonaws.com/compute-type: fargate", "6.1.0", "v1.37.0"), id: "eks-fargate", text: "node checked-fargate", fix: "kubectl delete node checked-fargate"},
	{plant: fmt.Sprintf(fakeNode, "checked-old", "a: b", "4.18.0", "v1.37.0"), id: "nodes-kernel", text: "node checked-old: 4.18.0", fix: "kubectl delete node checked-old"},
	{plant: fmt.Sprintf(fakeNode, "checked-kubelet", "a: b", "6.1.0", "v1.27.3"), id: "nodes-kubelet", text: "node checked-kubelet: v1.27.3", fix: "kubectl delete node checked-kubelet"},
	{plant: `kubectl -n kube-node-lease create -f - <<EOF
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: checked-ahead}
spec: {holderIdentity: checked-ahead, renewTime: "$(date -u -d '+1 hour' +%Y-%m-%dT%H:%M:%S.000000Z)"}
EOF`, id: "clocks", text: "node checked-ahead", fix: "kubectl -n kube-node-lease delete lease checked-ahead"},
	{plant: "kubectl delete crd virtualservices.networking.istio.io", id: "crds", text: "virtualservices.networking.istio.io does not exist"},
}

// loud are faults after which pods are not injected.
var loud = []planted{
	{plant: "kubectl -n istio-system scale deployment/outrider --replicas=0", id: "deployments", text: "Deployment istio-system/outrider has no replicas"},
	{plant: `kubectl -n istio-system patch service outrider-xds --type json -p '[{"op":"replace","path":"/spec/selector","value":{"app":"other"}}]'`,
		id: "services", text: "Service istio-system/outrider-xds", fix: `kubectl -n istio-system patch service outrider-xds --type json -p '[{"op":"replace","path":"/spec/selector","value":{"app":"outrider-xds"}}]'`},
	{plant: "kubectl -n kube-system scale deployment/coredns --replicas=0", id: "dns", text: "has no ready endpoints", fix: "kubectl -n kube-system scale deployment/coredns --replicas=1"},
	{id: "webhook-call", text: "0 of 0 replicas"},
}

// checked: "outrider check" finds what is planted, and the fixes that it prints work.
func checked(t *testing.T, s *Suite) {
	if !s.Own() {
		t.Skip("it breaks the cluster, which is not one of its own")
	}
	var last *Namespace
	for _, name := range []string{"psa", "net", "ambient", "linkerd", "typo", "both", "rev", "quota"} {
		last = s.Namespace(t, "checked-"+name, injected)
	}
	n := last
	n.passes("before any fault")
	t.Cleanup(func() { s.undo(t, "kubectl apply -f deploy/settings.yaml -f deploy/outrider.yaml") })
	n.plant(quiet)
	n.plant(loud)
	n.staleRanges()
}

// plant plants faults together, and fixes each by what its check prints.
func (n *Namespace) plant(faults []planted) {
	t := n.t
	t.Helper()
	for _, f := range faults {
		if f.plant != "" {
			n.run(f.plant)
		}
	}
	var report check.Report
	eventually(t, "all faults are found", func() error {
		report = n.check()
		for _, f := range faults {
			if _, err := find(report, f); err != nil {
				return err
			}
		}
		return nil
	})
	for _, f := range faults {
		found, _ := find(report, f)
		switch {
		case f.fix != "":
			n.run(f.fix)
		case f.plant != "":
			for _, command := range found.Commands {
				n.run(command)
			}
		}
	}
	n.passes("after the fixes")
}

// find is the result for a fault.
func find(r check.Report, f planted) (check.Result, error) {
	for _, found := range r.Results {
		text := found.What + "\n" + strings.Join(found.Details, "\n")
		if found.Check == f.id && found.Status.Compare(check.Skipped) > 0 && strings.Contains(text, f.text) && found.Fix != "" {
			return found, nil
		}
	}
	return check.Result{}, fmt.Errorf("%s: %q was not found:\n%s", f.id, f.text, r.Text(false))
}

func (n *Namespace) check() (r check.Report) {
	n.t.Helper()
	text := n.run("outrider check -o json 2>/dev/null || true")
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		n.t.Fatalf("%v: %s", err, text)
	}
	return r
}

// passes waits until no check finds anything.
func (n *Namespace) passes(when string) {
	n.t.Helper()
	eventually(n.t, "nothing is found "+when, func() error {
		r := n.check()
		i := slices.IndexFunc(r.Results, func(f check.Result) bool { return f.Status.Compare(check.Skipped) > 0 })
		if i >= 0 {
			return fmt.Errorf("%+v", r.Results[i])
		}
		return nil
	})
}

// staleRanges: a list with the ranges of Services alone is found, and its fix names the
// cluster's.
func (n *Namespace) staleRanges() {
	t := n.t
	t.Helper()
	n.setRanges("10.96.0.0/12,fd00:10:96::/112", "")
	found, err := find(n.check(), planted{id: "ranges-cover", text: "pods of a node"})
	if err != nil {
		t.Fatal(err)
	}
	_, value, _ := strings.Cut(found.Fix, `global.proxy.includeIPRanges to "`)
	value, _, ok := strings.Cut(value, `"`)
	if !ok {
		t.Fatalf("the fix has no value: %s", found.Fix)
	}
	n.setRanges(value, "")
	n.passes("with the value of the fix")
}
