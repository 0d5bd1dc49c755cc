package check

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/lifecycle"
)

const podSecurity = "pod-security.kubernetes.io/enforce"

// psa checks the Pod Security level of injected namespaces: istio-init needs NET_ADMIN.
func psa(f *Facts, out *findings) {
	if f.unread(out, NamespaceList, Mutating) {
		return
	}
	for _, n := range f.Injected() {
		if level := n.Labels[podSecurity]; level == "baseline" || level == "restricted" {
			out.fail(fmt.Sprintf("Namespace %s enforces Pod Security %q, which rejects pods with istio-init.", n.Name, level),
				"label it privileged, with the policy of docs/pod-security.md in place of the level", fmt.Sprintf("kubectl label namespace %s %s=privileged --overwrite", n.Name, podSecurity))
		}
	}
	if len(out.results) == 0 {
		out.pass("Pod Security admits injected pods.")
	}
}

// labelling checks the labels that select an injector.
func labelling(f *Facts, out *findings) {
	if f.unread(out, NamespaceList, Mutating) {
		return
	}
	revisions := f.revisions()
	for i := range f.Namespaces {
		n := &f.Namespaces[i]
		injection, rev := n.Labels[annotation.Injection], n.Labels[annotation.Rev]
		switch {
		case injection != "" && injection != "enabled" && injection != "disabled":
			out.warn(fmt.Sprintf("Namespace %s has the label %s=%s, which is neither enabled nor disabled.", n.Name, annotation.Injection, injection),
				"use enabled or disabled", fmt.Sprintf("kubectl label namespace %s %s=enabled --overwrite", n.Name, annotation.Injection))
		case injection != "" && rev != "":
			out.warn(fmt.Sprintf("Namespace %s has both labels, %s=%s and %s=%s: the second has no effect.", n.Name, annotation.Injection, injection, annotation.Rev, rev),
				"remove one of the two", fmt.Sprintf("kubectl label namespace %s %s-", n.Name, annotation.Injection))
		case rev != "" && !f.isOurs(rev) && !slices.Contains(revisions, rev):
			out.fail(fmt.Sprintf("Namespace %s has the label %s=%s, and no injector has this revision: its pods are not injected.", n.Name, annotation.Rev, rev),
				"use one of: "+strings.Join(revisions, ", "), fmt.Sprintf("kubectl label namespace %s %s=%s --overwrite", n.Name, annotation.Rev, f.revisionLabel()))
		case (injection == "enabled" || rev != "") && slices.Contains(neverInjected(f), n.Name):
			out.warn(fmt.Sprintf("Namespace %s has a label for injection, and is never injected.", n.Name),
				"remove the label", fmt.Sprintf("kubectl label namespace %s %s- %s-", n.Name, annotation.Injection, annotation.Rev))
		}
	}
	if len(out.results) == 0 {
		out.pass("The labels for injection have an effect.")
	}
}

func (f *Facts) revisionLabel() string {
	if f.Revision == "" {
		return "default"
	}
	return f.Revision.String()
}

func neverInjected(f *Facts) []string {
	return append(inject.NeverInjected(), f.Namespace)
}

// networkPolicies checks that sidecars may reach the control plane: a namespace with a
// default-deny policy for egress needs a rule for it.
func networkPolicies(f *Facts, out *findings) {
	if f.unread(out, NetworkPolicies, NamespaceList, Mutating) {
		return
	}
	for _, n := range f.Injected() {
		if denied := f.egressDenied(n); denied != "" {
			out.fail(fmt.Sprintf("NetworkPolicy %s/%s denies pods of namespace %s connections to the control plane, %s port 15012: their sidecars never become ready.", n.Name, denied, n.Name, f.Name(lifecycle.ControlPlane)),
				"allow it, and DNS", "kubectl apply -f - <<'EOF'\n"+f.allowance(n.Name)+"EOF")
		}
	}
	if len(out.results) == 0 {
		out.pass("No NetworkPolicy keeps sidecars from the control plane.")
	}
}

// egressDenied is the policy for all pods of a namespace by which none of its policies for
// all pods allows the control plane; empty where there is none.
func (f *Facts) egressDenied(n *corev1.Namespace) string {
	denied := ""
	for i := range f.NetworkPolicies {
		p := &f.NetworkPolicies[i]
		if p.Namespace != n.Name || len(p.Spec.PodSelector.MatchLabels)+len(p.Spec.PodSelector.MatchExpressions) > 0 || !slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
			continue
		}
		if slices.ContainsFunc(p.Spec.Egress, f.allowsControlPlane) {
			return ""
		}
		if denied == "" {
			denied = p.Name
		}
	}
	return denied
}

// allowsControlPlane reports a rule that may allow connections to the control plane. A
// range of addresses may: NetworkPolicies apply to them in ways that depend on the plugin.
func (f *Facts) allowsControlPlane(r networkingv1.NetworkPolicyEgressRule) bool {
	port := len(r.Ports) == 0
	for _, p := range r.Ports {
		port = port || p.Port == nil || p.Port.String() == "15012" || p.Port.String() == "grpc-xds" ||
			p.EndPort != nil && p.Port.IntVal <= 15012 && *p.EndPort >= 15012
	}
	if !port {
		return false
	}
	own := map[string]string{corev1.LabelMetadataName: f.Namespace}
	for i := range f.Namespaces {
		if f.Namespaces[i].Name == f.Namespace {
			own = f.Namespaces[i].Labels
		}
	}
	for _, to := range r.To {
		if to.IPBlock != nil || to.NamespaceSelector != nil && matches(to.NamespaceSelector, own) {
			return true
		}
	}
	return len(r.To) == 0
}

// allowance is a NetworkPolicy that allows sidecars what they need.
func (f *Facts) allowance(namespace string) string {
	return fmt.Sprintf(`apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: outrider-sidecars, namespace: %s}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
  - to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}
      podSelector: {matchLabels: {app: %s}}
    ports: [{port: 15012}]
  - to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
    ports: [{port: 53, protocol: UDP}, {port: 53}]
`, namespace, f.Namespace, f.Name(lifecycle.ControlPlane))
}

// ambient checks that no injected namespace is in a mesh that captures connections on the
// node.
func ambient(f *Facts, out *findings) {
	if f.unread(out, NamespaceList, Mutating) {
		return
	}
	for _, n := range f.Injected() {
		if n.Labels["istio.io/dataplane-mode"] == "ambient" {
			out.fail(fmt.Sprintf("Namespace %s is in Istio's ambient mesh, which captures the connections of its pods, too.", n.Name),
				"use one of the two", fmt.Sprintf("kubectl label namespace %s istio.io/dataplane-mode-", n.Name))
		}
		if n.Annotations["linkerd.io/inject"] == "enabled" {
			out.fail(fmt.Sprintf("Namespace %s is injected by Linkerd, too: its pods have two proxies, and two sets of rules.", n.Name),
				"use one of the two", fmt.Sprintf("kubectl annotate namespace %s linkerd.io/inject-", n.Name))
		}
	}
	if len(out.results) == 0 {
		out.pass("No injected namespace is in another mesh.")
	}
}
