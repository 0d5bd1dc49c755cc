package check

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/lifecycle"
)

// hasLabel reports a node with a label that begins so.
func (f *Facts) hasLabel(prefix string) bool {
	return slices.ContainsFunc(f.Nodes, func(n corev1.Node) bool {
		for key := range n.Labels {
			if strings.HasPrefix(key, prefix) {
				return true
			}
		}
		return false
	})
}

// gkeFirewall: on a private cluster the control plane reaches pods on ports 443 and 10250
// only. Whether a cluster is private does not show.
func gkeFirewall(f *Facts, out *findings) {
	switch {
	case f.unread(out, Nodes):
	case !f.hasLabel("cloud.google.com/gke-"):
		out.pass("The cluster is not one of GKE.")
	case f.reached():
		out.pass("The API server reaches the webhook.")
	default:
		out.warn("On a private GKE cluster, the firewall keeps the API server from the webhook's port 9443.", "allow it",
			"gcloud compute firewall-rules create outrider-webhook --network NETWORK --source-ranges CONTROL_PLANE_CIDR --allow tcp:9443 --target-tags NODE_TAG")
	}
}

// reached reports that the API server has called the webhook.
func (f *Facts) reached() bool {
	return slices.ContainsFunc(f.Attempts, func(a Attempt) bool { return a.Injected })
}

// autopilot: GKE's Autopilot rejects NET_ADMIN unless the cluster allows it. Its nodes have
// names of their own.
func autopilot(f *Facts, out *findings) {
	switch {
	case f.unread(out, Nodes):
	case !slices.ContainsFunc(f.Nodes, func(n corev1.Node) bool { return strings.HasPrefix(n.Name, "gk3-") }):
		out.pass("The cluster is not one of GKE Autopilot.")
	case f.reached():
		out.pass("GKE Autopilot admits injected pods.")
	default:
		out.warn("GKE Autopilot rejects the capability NET_ADMIN of istio-init unless the cluster allows it.", "allow it",
			"gcloud container clusters update CLUSTER --workload-policies=allow-net-admin")
	}
}

// fargate: pods on EKS Fargate cannot have NET_ADMIN.
func fargate(f *Facts, out *findings) {
	if f.unread(out, Nodes) {
		return
	}
	var nodes []string
	for i := range f.Nodes {
		if f.Nodes[i].Labels["eks.amazonaws.com/compute-type"] == "fargate" {
			nodes = append(nodes, "node "+f.Nodes[i].Name)
		}
	}
	if len(nodes) == 0 {
		out.pass("No node is one of EKS Fargate.")
		return
	}
	out.warn("Pods on EKS Fargate cannot have the capability NET_ADMIN of istio-init: they stay pending.", `schedule injected pods on EC2 nodes, or set the label sidecar.istio.io/inject: "false" on pods for Fargate`)
	out.detail(firsts(nodes)...)
}

// eksNetwork: with another network plugin than the VPC CNI, EKS's control plane has no route
// to pods.
func eksNetwork(f *Facts, out *findings) {
	if f.unread(out, Nodes, System) {
		return
	}
	eks := f.hasLabel("eks.amazonaws.com/")
	vpc := slices.Contains(f.SystemSets, "aws-node")
	switch {
	case !eks:
		out.pass("The cluster is not one of EKS.")
	case vpc, f.Deployments[f.Name(lifecycle.Deployment)].HostNetwork, f.reached():
		out.pass("The API server can reach the webhook's pods.")
	default:
		out.warn("On EKS without the VPC CNI, the API server reaches no pod address.", "install with the network of the host: --set webhook.hostNetwork=true")
	}
}

// openshift: the SCCs of OpenShift reject istio-init.
func openshift(f *Facts, out *findings) {
	switch {
	case !slices.Contains(f.APIGroups, "security.openshift.io"):
		out.pass("The cluster is not OpenShift.")
	case f.reached():
		out.pass("The SCCs admit injected pods.")
	default:
		out.warn("On OpenShift, a SecurityContextConstraints must admit istio-init, with user 0 and NET_ADMIN.",
			"install with --set global.platform=openshift,openshift.scc.enabled=true, and bind ClusterRole outrider-injected in the injected namespaces",
			"oc -n NAMESPACE adm policy add-role-to-group outrider-injected system:serviceaccounts:NAMESPACE --rolebinding-name outrider-injected")
	}
}

const enforcer = "admissions.enforcer/disabled"

// aks: the admissions enforcer of AKS edits webhook configurations.
func aks(f *Facts, out *findings) {
	if f.unread(out, Nodes, Mutating) {
		return
	}
	c := f.ours()
	switch {
	case !f.hasLabel("kubernetes.azure.com/"):
		out.pass("The cluster is not one of AKS.")
	case c == nil && f.Before:
		out.warn("On AKS, the admissions enforcer edits webhook configurations.", "install with --set global.platform=aks")
	case c == nil:
		out.skip("There is no MutatingWebhookConfiguration.")
	case c.Annotations[enforcer] != "true" && c.Labels[enforcer] != "true":
		out.warn("MutatingWebhookConfiguration "+c.Name+" has no annotation "+enforcer+"=true: the admissions enforcer of AKS edits its selectors.", "set it",
			fmt.Sprintf("kubectl annotate mutatingwebhookconfiguration %s %s=true", c.Name, enforcer))
	default:
		out.pass("The admissions enforcer leaves the webhook configuration as it is.")
	}
}

// nodeLocalAddress is the usual address of the DNS cache of a node.
var nodeLocalAddress = netip.MustParseAddr("169.254.20.10")

// nodeLocal: DNS by UDP is never redirected. By TCP it is, to an address that no Service
// has, so that REGISTRY_ONLY blocks it.
func nodeLocal(f *Facts, out *findings) {
	if f.unread(out, System) {
		return
	}
	cache := slices.ContainsFunc(f.SystemSets, func(name string) bool {
		return strings.Contains(name, "node-local-dns") || strings.Contains(name, "nodelocaldns")
	})
	if !cache {
		out.pass("There is no DNS cache of nodes.")
		return
	}
	s := f.settings(out)
	if s == nil {
		return
	}
	captured := s.IncludeIPRanges.Contains(nodeLocalAddress) && !s.ExcludeIPRanges.Contains(nodeLocalAddress)
	if !f.registryOnly() || !captured || s.ExcludePorts.Contains(53) {
		out.pass("Pods reach the DNS cache of their node.")
		return
	}
	out.warn("Pods resolve names by a DNS cache of their node, "+nodeLocalAddress.String()+", and REGISTRY_ONLY blocks connections to it: answers that need TCP fail.",
		"exclude it: add link-local to global.proxy.excludeIPRanges, which has the metadata services of clouds, too; or "+nodeLocalAddress.String()+"/32 alone")
}
