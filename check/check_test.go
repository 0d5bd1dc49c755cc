package check_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/check"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/lifecycle"
	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/validate"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

var now = time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)

// cluster is a cluster of one node, in the form of documents of ranges.
const cluster = `apiVersion: v1
kind: Node
metadata: {name: one, labels: {kubernetes.io/os: linux}}
spec: {podCIDR: 10.244.0.0/24, podCIDRs: [10.244.0.0/24]}
---
apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default}
spec: {clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1]}
---
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata: {name: kubernetes}
spec: {cidrs: [10.96.0.0/12]}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
networking: {podSubnet: 10.244.0.0/16, serviceSubnet: 10.96.0.0/12}
`

// healthy is an installation without a fault.
func healthy(t *testing.T) *check.Facts {
	t.Helper()
	i := lifecycle.Installation{Namespace: "istio-system"}
	options := registration.Options{Namespace: i.Namespace, Service: "outrider", XDSService: "outrider-xds", CABundle: []byte("PEM")}
	f := &check.Facts{
		Installation: i, Unread: map[check.Resource]string{}, Now: now, ServerTime: now, Version: "v1.37.2",
		Mutating:    []admissionregistrationv1.MutatingWebhookConfiguration{*options.Mutating()},
		Validating:  []admissionregistrationv1.ValidatingWebhookConfiguration{*options.Validating()},
		Definitions: map[string]check.Definition{}, Bundle: "PEM", InjectorLabels: map[string]string{"app": "outrider"},
		Nodes:       []corev1.Node{node("one", "6.1.0", "v1.37.2")},
		NodeLeases:  []coordinationv1.Lease{lease("one", now, nil)},
		Namespaces:  []corev1.Namespace{namespace("istio-system"), namespace("shop", "istio-injection", "enabled"), namespace("plain")},
		NameServers: []check.NameServer{{Name: "kube-dns", Ready: 2}},
		Services: map[string]check.Service{
			"outrider": {Ready: map[string]int{"https-webhook": 2, "grpc-xds": 2}}, "outrider-xds": {Ready: map[string]int{"https-validate": 2}},
		},
		Deployments: map[string]check.Deployment{"outrider": {Desired: 2, Ready: 2}, "outrider-xds": {Desired: 2, Ready: 2}},
		Leases:      []coordinationv1.Lease{lease("outrider-replica-a", now, map[string]string{annotation.ConfigHash: "abc", annotation.ConfigReason: "none"})},
		Attempts:    []check.Attempt{{Attempt: lifecycle.Attempt{Injected: true}, Cluster: lifecycle.Cluster{Installation: i, TestNamespace: "shop"}}},
	}
	for _, name := range check.DefinitionNames() {
		f.Definitions[name] = check.Definition{Served: []string{"v1"}, Established: true}
	}
	data, err := ranges.Read([]ranges.Document{{Name: "cluster", Text: cluster}})
	kit.Must(t, err)
	f.Data, f.Ranges = data, data.Resolve(ranges.Options{Live: true})
	configure(t, f, config.Texts{})
	return f
}

// configure compiles texts into the facts.
func configure(t *testing.T, f *check.Facts, texts config.Texts) {
	t.Helper()
	c := validate.ReadConfiguration(texts, nil, config.LocationOf(f.Namespace, f.Revision).Labels(), egress.CompileMesh)
	env := inject.Environment{Kubernetes: inject.Version{Major: 1, Minor: 37}}
	if c.Config != nil {
		env.Ranges = inject.RangeNames(c.Config, f.Data, true)
	}
	f.Injector, f.Problems = c.Compile(env)
}

func node(name, kernel, kubelet string, labels ...string) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelOSStable: "linux"}}}
	for i := 0; i < len(labels); i += 2 {
		n.Labels[labels[i]] = labels[i+1]
	}
	n.Status.NodeInfo.KernelVersion, n.Status.NodeInfo.KubeletVersion = kernel, kubelet
	return n
}

func namespace(name string, labels ...string) corev1.Namespace {
	n := corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelMetadataName: name}}}
	for i := 0; i < len(labels); i += 2 {
		n.Labels[labels[i]] = labels[i+1]
	}
	return n
}

func lease(name string, renewed time.Time, annotations map[string]string) coordinationv1.Lease {
	return coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations}, Spec: coordinationv1.LeaseSpec{RenewTime: new(metav1.NewMicroTime(renewed))}}
}

// denyAll is a NetworkPolicy that denies egress, but for the rules.
func denyAll(namespace string, rules ...networkingv1.NetworkPolicyEgressRule) networkingv1.NetworkPolicy {
	return networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "deny"},
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}, Egress: rules},
	}
}

func toPort(port int) networkingv1.NetworkPolicyEgressRule {
	return networkingv1.NetworkPolicyEgressRule{
		To:    []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: "istio-system"}}}},
		Ports: []networkingv1.NetworkPolicyPort{{Port: new(intstr.FromInt32(int32(port)))}},
	}
}

func istio(labels map[string]string) admissionregistrationv1.MutatingWebhookConfiguration {
	c := *registration.Options{Namespace: "istio-system", Service: "istiod"}.Mutating()
	c.Name, c.Labels = "istio-sidecar-injector", labels
	return c
}

// faults are one fault each, with the check that must find it, a part of what it prints, and
// a part of its fix or of a command.
var faults = []struct {
	name             string
	plant            func(t *testing.T, f *check.Facts)
	id               string
	status           check.Status
	text, fix        string
	before, together bool // together: other checks report it, too
}{
	{"old Kubernetes", func(_ *testing.T, f *check.Facts) { f.Version = "v1.24.1" }, "api-version", check.Failed, "version v1.24.1", "upgrade", false, false},
	{"forbidden", func(_ *testing.T, f *check.Facts) { f.Unread[check.Nodes] = "forbidden" }, "rights", check.Warning, "nodes: forbidden", "administrator", false, false},
	{"clock of a node", func(_ *testing.T, f *check.Facts) {
		f.NodeLeases = append(f.NodeLeases, lease("two", now.Add(time.Hour), nil))
	}, "clocks", check.Failed, "node two: 1h0m0s ahead", "chrony", false, false},
	{"clock here", func(_ *testing.T, f *check.Facts) { f.Now = now.Add(-2 * time.Minute) }, "clocks", check.Warning, "this machine differs", "synchronize", false, false},
	{"Windows only", func(_ *testing.T, f *check.Facts) { f.Nodes[0].Labels[corev1.LabelOSStable] = "windows" }, "nodes-linux", check.Failed, "No node runs Linux", "node pool", false, false},
	{"old kernel", func(_ *testing.T, f *check.Facts) {
		f.Nodes = append(f.Nodes, node("two", "4.18.0-553.el8", "v1.37.2"))
	}, "nodes-kernel", check.Failed, "node two: 4.18.0-553.el8", "operating system", false, false},
	{"old kubelet", func(_ *testing.T, f *check.Facts) { f.Nodes = append(f.Nodes, node("two", "6.1.0", "v1.28.9")) }, "nodes-kubelet", check.Failed, "node two: v1.28.9", "ENABLE_NATIVE_SIDECARS", false, false},
	{"no DNS", func(_ *testing.T, f *check.Facts) { f.NameServers[0].Ready = 0 }, "dns", check.Failed, "kube-dns has no ready endpoints", "kubectl -n kube-system", false, false},
	{"no Deployment", func(_ *testing.T, f *check.Facts) { delete(f.Deployments, "outrider-xds") }, "deployments", check.Failed, "Deployment istio-system/outrider-xds does not exist", "helm upgrade", false, false},
	{"no replicas", func(_ *testing.T, f *check.Facts) { f.Deployments["outrider"] = check.Deployment{} }, "deployments", check.Failed, "has no replicas", "kubectl -n istio-system scale deployment/outrider --replicas=2", false, false},
	{"not ready", func(_ *testing.T, f *check.Facts) {
		f.Deployments["outrider"] = check.Deployment{Desired: 1, Pods: []lifecycle.Pod{{Name: "outrider-1", Reason: "ImagePullBackOff", Message: "not found"}}}
	}, "deployments", check.Failed, "pod outrider-1: ImagePullBackOff: not found", "kubectl -n istio-system logs -l app=outrider", false, false},
	{"Service without selector", func(_ *testing.T, f *check.Facts) { f.Services["outrider"].Ready["https-webhook"] = 0 }, "services", check.Failed, "Port https-webhook of Service istio-system/outrider has no ready endpoints although", `"value":{"app.kubernetes.io/part-of":"outrider"}`, false, false},
	{"no Service", func(_ *testing.T, f *check.Facts) { delete(f.Services, "outrider-xds") }, "services", check.Failed, "Service istio-system/outrider-xds does not exist", "helm upgrade", false, false},
	{"invalid ConfigMap", func(t *testing.T, f *check.Facts) {
		configure(t, f, config.Texts{Values: "global: {proxy: {includeIPRanges: 10.0.0.0/40}}\n"})
	}, "configuration-valid", check.Failed, "10.0.0.0/40", "outrider config restore", false, true},
	{"setting without effect", func(t *testing.T, f *check.Facts) {
		configure(t, f, config.Texts{Values: "global: {proxy: {tracer: datadog}}\n"})
	}, "configuration-valid", check.Warning, "tracer", "details", false, false},
	{"no ConfigMap", func(_ *testing.T, f *check.Facts) { f.Missing = []string{"istio"} }, "configuration-valid", check.Warning, "ConfigMap istio-system/istio does not exist", "settings.yaml", false, false},
	{"last good configuration", func(_ *testing.T, f *check.Facts) {
		f.Leases[0].Annotations[annotation.ConfigReason] = `values: "x": invalid`
	}, "configuration-active", check.Failed, `values: "x": invalid`, "outrider config history", false, false},
	{"two configurations", func(_ *testing.T, f *check.Facts) {
		f.Leases = append(f.Leases, lease("outrider-replica-b", now, map[string]string{annotation.ConfigHash: "def"}))
	}, "configuration-active", check.Warning, "def: outrider-replica-b", "log", false, false},
	{"no CRD", func(_ *testing.T, f *check.Facts) { delete(f.Definitions, "serviceentries.networking.istio.io") }, "crds", check.Failed, "serviceentries.networking.istio.io does not exist", "rollout restart deployment/outrider-xds", false, false},
	{"old CRD", func(_ *testing.T, f *check.Facts) {
		f.Definitions["serviceentries.networking.istio.io"] = check.Definition{Served: []string{"v1alpha2"}, Established: true}
	}, "crds", check.Failed, "serves none of the versions", "upgrade it", false, false},
	{"not registered", func(_ *testing.T, f *check.Facts) { f.Mutating = nil }, "webhook-registered", check.Failed, "MutatingWebhookConfiguration outrider-sidecar-injector does not exist", "helm upgrade", false, false},
	{"not validated", func(_ *testing.T, f *check.Facts) { f.Validating = nil }, "webhook-registered", check.Failed, "ValidatingWebhookConfiguration outrider-sidecar-injector", "helm upgrade", false, false},
	{"webhook removed", func(_ *testing.T, f *check.Facts) { f.Mutating[0].Webhooks = f.Mutating[0].Webhooks[1:] }, "webhook-selectors", check.Failed, "does not exist", "helm upgrade", false, false},
	{"selector edited", func(_ *testing.T, f *check.Facts) {
		s := f.Mutating[0].Webhooks[1].NamespaceSelector
		s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{Key: "control-plane", Operator: metav1.LabelSelectorOpDoesNotExist})
	}, "webhook-selectors", check.Warning, "control-plane", "global.platform=aks", false, false},
	{"failurePolicy", func(_ *testing.T, f *check.Facts) {
		f.Mutating[0].Webhooks[2].FailurePolicy = new(admissionregistrationv1.Ignore)
	}, "webhook-failure-policy", check.Warning, "failurePolicy Ignore", `"path":"/webhooks/2/failurePolicy","value":"Fail"`, false, false},
	{"no caBundle", func(_ *testing.T, f *check.Facts) { f.Mutating[0].Webhooks[0].ClientConfig.CABundle = nil }, "webhook-ca-bundle", check.Failed, "has no caBundle", "rollout restart deployment/outrider", false, false},
	{"wrong caBundle", func(_ *testing.T, f *check.Facts) {
		f.Validating[0].Webhooks[0].ClientConfig.CABundle = []byte("other")
	}, "webhook-ca-bundle", check.Failed, "is not that of ConfigMap outrider-ca", "managed-fields", false, false},
	{"not reached", func(_ *testing.T, f *check.Facts) {
		f.Attempts[0].Attempt = lifecycle.Attempt{Error: "failed calling webhook: context deadline exceeded"}
		f.Attempts[0].Ready, f.Attempts[0].Desired, f.Attempts[0].Port = 2, 2, 9443
	}, "webhook-call", check.Failed, "cannot reach the webhook", "allow TCP port 9443", false, false},
	{"quota", func(_ *testing.T, f *check.Facts) {
		f.Attempts[0].Attempt = lifecycle.Attempt{Error: `pods "a" is forbidden: exceeded quota: small, requested: limits.cpu=4`}
	}, "webhook-call", check.Failed, "ResourceQuota small", "raise the quotas", false, false},
	{"another injector", func(_ *testing.T, f *check.Facts) {
		f.Mutating = append(f.Mutating, istio(map[string]string{"istio.io/rev": "stable"}))
	}, "other-injectors", check.Failed, "namespace shop", "one injector", false, false},
	{"label with a wrong value", func(_ *testing.T, f *check.Facts) {
		f.Namespaces = append(f.Namespaces, namespace("typo", "istio-injection", "true"))
	}, "namespace-labels", check.Warning, "istio-injection=true", "kubectl label namespace typo istio-injection=enabled --overwrite", false, false},
	{"two labels", func(_ *testing.T, f *check.Facts) {
		f.Namespaces = append(f.Namespaces, namespace("both", "istio-injection", "enabled", "istio.io/rev", "default"))
	}, "namespace-labels", check.Warning, "has both labels", "istio-injection-", false, false},
	{"unknown revision", func(_ *testing.T, f *check.Facts) {
		f.Namespaces = append(f.Namespaces, namespace("canary", "istio.io/rev", "canary"))
	}, "namespace-labels", check.Failed, "no injector has this revision", "istio.io/rev=default --overwrite", false, false},
	{"never injected", func(_ *testing.T, f *check.Facts) { f.Namespaces[0].Labels["istio-injection"] = "enabled" }, "namespace-labels", check.Warning, "is never injected", "istio-injection-", false, false},
	{"Pod Security", func(_ *testing.T, f *check.Facts) {
		f.Namespaces[1].Labels["pod-security.kubernetes.io/enforce"] = "baseline"
	}, "pod-security", check.Failed, `Pod Security "baseline"`, "enforce=privileged --overwrite", false, false},
	{"NetworkPolicy", func(_ *testing.T, f *check.Facts) {
		f.NetworkPolicies = []networkingv1.NetworkPolicy{denyAll("shop", toPort(53)), denyAll("plain")}
	}, "network-policies", check.Failed, "NetworkPolicy shop/deny denies", "kind: NetworkPolicy", false, false},
	{"ambient", func(_ *testing.T, f *check.Facts) { f.Namespaces[1].Labels["istio.io/dataplane-mode"] = "ambient" }, "other-meshes", check.Failed, "ambient", "istio.io/dataplane-mode-", false, false},
	{"Linkerd", func(_ *testing.T, f *check.Facts) {
		f.Namespaces[1].Annotations = map[string]string{"linkerd.io/inject": "enabled"}
	}, "other-meshes", check.Failed, "Linkerd", "linkerd.io/inject-", false, false},
	{"ranges unknown", func(t *testing.T, f *check.Facts) {
		configure(t, f, config.Texts{Values: "global: {proxy: {includeIPRanges: \"10.0.0.0/8,fd00::/8\"}}\n"})
		f.Ranges = ranges.Result{Undetermined: []ranges.Kind{ranges.Pod}, Missing: []ranges.Missing{{Kind: ranges.Pod, Why: "not in the documents"}}}
	}, "ranges-known", check.Warning, "pod: not in the documents", "outrider ranges", false, false},
	{"stale ranges", func(t *testing.T, f *check.Facts) {
		configure(t, f, config.Texts{Values: "global: {proxy: {includeIPRanges: 10.96.0.0/12}}\n"})
	}, "ranges-cover", check.Failed, "pods of a node: 10.244.0.0/24", "includeIPRanges", false, true},
	{"everything excluded", func(t *testing.T, f *check.Facts) {
		configure(t, f, config.Texts{Values: "global: {proxy: {excludeIPRanges: 10.96.0.0/12}}\n"})
	}, "ranges-excluded", check.Warning, "holds all service addresses", "remove them", false, true},
	{"DNS cache of nodes", func(t *testing.T, f *check.Facts) {
		f.SystemSets = []string{"kube-proxy", "node-local-dns"}
		configure(t, f, config.Texts{Mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"})
	}, "dns-node-local", check.Warning, "169.254.20.10", "link-local", false, false},
	{"private GKE", func(_ *testing.T, f *check.Facts) {
		f.Attempts, f.Nodes = nil, []corev1.Node{node("gke-1", "6.1.0", "v1.37.2", "cloud.google.com/gke-nodepool", "a")}
	}, "gke-firewall", check.Warning, "private GKE", "gcloud compute firewall-rules create", false, false},
	{"GKE Autopilot", func(_ *testing.T, f *check.Facts) {
		f.Attempts, f.Nodes = nil, []corev1.Node{node("gk3-1", "6.1.0", "v1.37.2")}
	}, "gke-autopilot", check.Warning, "NET_ADMIN", "allow-net-admin", false, false},
	{"EKS Fargate", func(_ *testing.T, f *check.Facts) {
		f.Nodes = append(f.Nodes, node("fargate-1", "6.1.0", "v1.37.2", "eks.amazonaws.com/compute-type", "fargate"))
		f.SystemSets = []string{"aws-node"}
	}, "eks-fargate", check.Warning, "node fargate-1", "EC2", false, false},
	{"EKS with another CNI", func(_ *testing.T, f *check.Facts) {
		f.Attempts, f.Nodes = nil, []corev1.Node{node("one", "6.1.0", "v1.37.2", "eks.amazonaws.com/nodegroup", "a")}
	}, "eks-network", check.Warning, "without the VPC CNI", "webhook.hostNetwork=true", false, false},
	{"OpenShift", func(_ *testing.T, f *check.Facts) {
		f.Before, f.APIGroups = true, []string{"security.openshift.io"}
		f.Attempts = nil
	}, "openshift-scc", check.Warning, "SecurityContextConstraints", "openshift.scc.enabled=true", true, false},
	{"AKS", func(_ *testing.T, f *check.Facts) {
		f.Nodes = []corev1.Node{node("one", "6.1.0", "v1.37.2", "kubernetes.azure.com/cluster", "a")}
	}, "aks-enforcer", check.Warning, "admissions.enforcer/disabled=true", "kubectl annotate mutatingwebhookconfiguration", false, false},
	{"Istio's revision", func(_ *testing.T, f *check.Facts) {
		f.Before, f.Attempts = true, nil
		f.Mutating = []admissionregistrationv1.MutatingWebhookConfiguration{istio(map[string]string{"istio.io/rev": "default"})}
	}, "revision-free", check.Failed, "has revision default, too", "revision=outrider", true, true},
	{"Istio's ConfigMap", func(_ *testing.T, f *check.Facts) {
		f.Before, f.Mutating, f.Attempts, f.InjectorLabels = true, nil, nil, map[string]string{"operator.istio.io/component": "Pilot"}
	}, "revision-free", check.Failed, "ConfigMap istio-system/istio-sidecar-injector is Istio's", "revision=outrider", true, false},
	{"unreachable", func(_ *testing.T, f *check.Facts) { *f = check.Facts{Unreachable: "connection refused"} }, "api-reachable", check.Failed, "connection refused", "kubeconfig", false, false},
}

// TestFaults: each fault is found by its check, with a fix, and by no other.
func TestFaults(t *testing.T) {
	for _, c := range faults {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			f := healthy(t)
			c.plant(t, f)
			report := check.Run(f)
			if report.Status != c.status && (!c.together || report.Status.Compare(c.status) < 0) {
				t.Errorf("the report has status %s", report.Status)
			}
			for _, r := range report.Results {
				if r.Status.Compare(check.Skipped) <= 0 {
					continue
				}
				if r.Check != c.id {
					if !c.together {
						t.Errorf("also found: %+v", r)
					}
					continue
				}
				text, fix := r.What+strings.Join(r.Details, "\n"), r.Fix+strings.Join(r.Commands, "\n")
				if r.Status == c.status && strings.Contains(text, c.text) && strings.Contains(fix, c.fix) {
					return
				}
			}
			t.Errorf("not found; %s", report.Text(false))
		})
	}
}

// TestHealthy: without a fault nothing is found, and nothing is skipped without a reason.
func TestHealthy(t *testing.T) {
	report := check.Run(healthy(t))
	if report.Status != check.Passed {
		t.Error(report.Text(false))
	}
	after := 0
	for _, c := range check.Catalog() {
		if c.When&check.After != 0 {
			after++
		}
	}
	if len(report.Results) != after {
		t.Errorf("%d results of %d checks", len(report.Results), after)
	}
	f := healthy(t)
	f.Before, f.Mutating, f.Attempts = true, nil, nil
	if report := check.Run(f); report.Status != check.Passed {
		t.Error(report.Text(false))
	}
}

// TestEveryCheckHasAFault: no check of the catalog is without a fault above.
func TestEveryCheckHasAFault(t *testing.T) {
	for _, c := range check.Catalog() {
		found := false
		for _, f := range faults {
			found = found || f.id == c.ID
		}
		for _, f := range sidecarFaults {
			found = found || f.id == c.ID
		}
		for _, v := range verdicts {
			found = found || v.check == c.ID
		}
		found = found || c.ID == "traffic-pods" || c.ID == "traffic-leftovers" // of TestTrafficStopped
		if !found {
			t.Errorf("%s: no fault is planted for it", c.ID)
		}
	}
}

// TestUnread: what was not read makes no check pass that depends on it.
func TestUnread(t *testing.T) {
	f := healthy(t)
	for _, r := range []check.Resource{check.Mutating, check.Validating, check.Definitions, check.Nodes, check.NamespaceList, check.NetworkPolicies, check.NodeLeases, check.Own, check.System, check.RangeSources} {
		f.Unread[r] = "forbidden"
	}
	f.Attempts = nil
	var passed []string
	for _, r := range check.Run(f).Results {
		if r.Status == check.Passed {
			passed = append(passed, r.Check)
		}
	}
	if want := []string{"api-reachable", "api-version", "openshift-scc"}; !slices.Equal(passed, want) {
		t.Errorf("passed: %v, want %v", passed, want)
	}
}

// TestAllowedByPolicies: rules that let sidecars reach the control plane.
func TestAllowedByPolicies(t *testing.T) {
	wide := toPort(15000)
	wide.Ports[0].EndPort = new(int32(16000))
	for name, rule := range map[string]networkingv1.NetworkPolicyEgressRule{
		"everything": {}, "the port": toPort(15012), "a range of ports": wide,
		"addresses": {To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8"}}}},
	} {
		f := healthy(t)
		f.NetworkPolicies = []networkingv1.NetworkPolicy{denyAll("shop"), denyAll("shop", rule)}
		if report := check.Run(f); report.Status != check.Passed {
			t.Errorf("%s: %s", name, report.Text(false))
		}
	}
}

// TestText: the form of the report.
func TestText(t *testing.T) {
	f := healthy(t)
	f.Namespaces[1].Labels["pod-security.kubernetes.io/enforce"] = "baseline\x1b[31m"
	f.NameServers[0].Ready = 0
	text := check.Run(f).Text(true)
	for _, want := range []string{
		"Kubernetes\n\x1b[32m✓\x1b[0m api-reachable: The API server answers, version v1.37.2.\n",
		"\x1b[31m✗\x1b[0m dns: Service kube-system/kube-dns has no ready endpoints: sidecars resolve neither the control plane nor external hosts.\n" +
			"    fix: start the pods of the DNS\n      $ kubectl -n kube-system get pods -l k8s-app=kube-dns\n    see docs/checks.md#dns\n",
		"0 skipped, 0 warnings, 1 failed\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}
