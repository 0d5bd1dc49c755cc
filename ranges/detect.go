package ranges

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Unknown is the platform when nothing tells, or two things tell differently.
const Unknown = "unknown"

// signal is something that tells the platform.
type signal struct{ platform, what string }

func (r *reader) signal(platform, what string) {
	for _, s := range r.facts.signals {
		if s.platform == platform {
			return
		}
	}
	r.facts.signals = append(r.facts.signals, signal{platform, what})
}

// tiers are the platforms in the order in which they tell. OpenShift and the
// distributions run on every cloud, so a cloud's mark says where, not what; and
// many of them are made with kubeadm.
var tiers = [][]string{
	{"openshift"},
	{"kind", "k3s", "rke2", "microk8s", "minikube", "docker-desktop", "talos", "k0s"},
	{"acs"}, // its nodes have the labels of AKS, and masters that AKS does not show
	{"gke", "aks", "eks", "iks", "icp", "doks", "oke", "ack", "tke", "lke", "kops", "eks-anywhere"},
	{"k3s-config", "kubeadm"},
}

// Detect is the platform that the documents tell of. Two of the same rank are
// Unknown, with both named in conflict.
func (f *Facts) Detect() (platform string, conflict []string) {
	for _, tier := range tiers {
		var have []string
		for _, s := range f.signals {
			if slices.Contains(tier, s.platform) {
				have = append(have, s.platform)
			}
		}
		switch {
		case len(have) == 1:
			return strings.TrimSuffix(have[0], "-config"), nil
		case len(have) > 1:
			slices.Sort(have)
			return Unknown, have
		}
	}
	return Unknown, nil
}

// node reads a node's marks, its arguments and its slice of the pod range.
func (r *reader) node(n *node, base string) {
	r.facts.nodes++
	meta := n.get("metadata")
	annotations := meta.get("annotations")
	for _, a := range []struct{ key, platform, source string }{
		{"k3s.io/node-args", "k3s", "k3s node-args"},
		{"rke2.io/node-args", "rke2", "RKE2 node-args"},
	} {
		if v := annotations.get(a.key); v != nil {
			r.signal(a.platform, "node annotation "+a.key)
			r.nodeArgs(v, a.source, join(join(join(base, "metadata"), "annotations"), a.key))
		}
	}
	r.nodeMarks(n, meta.get("labels"))
	slices := source{"node podCIDRs", rankSlices, LowerBound, false}
	paths := []string{"spec.podCIDRs"}
	if !n.has("spec.podCIDRs") {
		paths = []string{"spec.podCIDR"}
	}
	before := len(r.facts.Evidence)
	r.paths(Pod, slices, n, base, paths)
	for _, e := range r.facts.Evidence[before:] {
		r.facts.NodeCIDR = append(r.facts.NodeCIDR, e.Ranges.Prefixes()...)
	}
}

// labelMarks are labels that one platform puts on its nodes; a name that ends
// in "/" or "-" is a prefix.
var labelMarks = []struct{ label, value, platform string }{
	{"node.kubernetes.io/instance-type", "k3s", "k3s"},
	{"node.kubernetes.io/instance-type", "rke2", "rke2"},
	{"microk8s.io/cluster", "true", "microk8s"},
	{"minikube.k8s.io/", "", "minikube"},
	{"node.openshift.io/", "", "openshift"},
	{"kubernetes.azure.com/cluster", "", "aks"},
	{"kubernetes.azure.com/role", "", "aks"},
	{"kubernetes.azure.com/agentpool", "", "aks"},
	{"cloud.google.com/gke-", "", "gke"},
	{"ibm-cloud.kubernetes.io/", "", "iks"},
	{"doks.digitalocean.com/", "", "doks"},
	{"oci.oraclecloud.com/fault-domain", "", "oke"},
	{"alibabacloud.com/", "", "ack"},
	{"eks.amazonaws.com/", "", "eks"},
	{"node.k0sproject.io/role", "", "k0s"},
	{"lke.linode.com/pool-id", "", "lke"},
	{"kops.k8s.io/instancegroup", "", "kops"},
}

// groupMarks are API groups that one platform alone serves.
var groupMarks = map[string]string{
	"config.openshift.io": "openshift",
	"networking.gke.io":   "gke",
}

// apiGroups reads the list of API groups that a server serves.
func (r *reader) apiGroups(n *node, _ string) {
	groups := n.get("groups")
	if groups == nil {
		return
	}
	for _, g := range groups.items {
		if platform, ok := groupMarks[g.get("name").str()]; ok {
			r.signal(platform, "API group "+g.get("name").str())
		}
	}
}

// serverVersion reads what an API server says of its version. It tells the
// platform where no node does.
func serverVersion(r *reader, n *node, _ string) {
	r.facts.version = n.get("gitVersion").str()
	r.facts.minor, _ = strconv.Atoi(strings.TrimRight(n.get("minor").str(), "+"))
}

func (r *reader) nodeMarks(n, labels *node) {
	control, azure := false, false
	if labels != nil {
		for _, f := range labels.fields {
			control = control || f.name == "node-role.kubernetes.io/control-plane" || f.name == "node-role.kubernetes.io/master" ||
				f.name == "kubernetes.io/role" && f.value.str() == "master"
			azure = azure || strings.HasPrefix(f.name, "kubernetes.azure.com/")
			for _, m := range labelMarks {
				prefix := strings.HasSuffix(m.label, "/") || strings.HasSuffix(m.label, "-")
				if (f.name == m.label || prefix && strings.HasPrefix(f.name, m.label)) && (m.value == "" || f.value.str() == m.value) {
					r.signal(m.platform, "node label "+f.name)
				}
			}
		}
	}
	if control && azure {
		r.signal("acs", "node label of Azure on a master")
	}
	info := n.at("status", "nodeInfo")
	r.versionMarks(info.get("kubeletVersion").str(), info.get("osImage").str(), n.at("spec", "providerID").str(), control)
}

// versionMarks knows platforms by what their kubelets and images are called. A
// version of EKS on a cluster with control-plane nodes is EKS Anywhere's.
func (r *reader) versionMarks(kubelet, image, provider string, control bool) {
	for _, m := range []struct {
		is             bool
		platform, what string
	}{
		{strings.HasPrefix(provider, "kind://"), "kind", "providerID"},
		{strings.HasPrefix(provider, "k3s://") || strings.Contains(kubelet, "+k3s"), "k3s", "kubelet version"},
		{strings.Contains(kubelet, "+rke2r"), "rke2", "kubelet version"},
		{image == "Docker Desktop", "docker-desktop", "node image"},
		{strings.HasPrefix(image, "Talos ("), "talos", "node image"},
		{strings.Contains(kubelet, "-gke."), "gke", "kubelet version"},
		{strings.Contains(kubelet, "-eks-") && !control, "eks", "kubelet version"},
		{strings.HasPrefix(provider, "ibm://") || strings.Contains(kubelet, "+IKS"), "iks", "providerID"},
		{strings.Contains(kubelet, "+icp"), "icp", "kubelet version"},
		{strings.Contains(kubelet, "-aliyun."), "ack", "kubelet version"},
		{strings.Contains(kubelet, "-tke.") || strings.HasPrefix(provider, "qcloud://"), "tke", "providerID"},
	} {
		if m.is {
			r.signal(m.platform, m.what)
		}
	}
}

// kubernetesIs reports whether default/kubernetes has the first address of the
// range, as it has of the default range of every API server.
func (f *Facts) kubernetesIs(p netip.Prefix) bool {
	first := p.Masked().Addr().Next()
	return slices.Contains(f.kubernetes, first)
}
