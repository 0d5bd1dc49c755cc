package ranges

import (
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
)

// node reads a node's marks, its arguments and its slice of the pod range.
func (r *reader) node(n *document.Node, base string) {
	r.data.nodes++
	meta := n.Get("metadata")
	annotations := meta.Get("annotations")
	for _, a := range []struct{ key, platform, source string }{
		{"k3s.io/node-args", "k3s", "k3s node-args"},
		{"rke2.io/node-args", "rke2", "RKE2 node-args"},
	} {
		if v := annotations.Get(a.key); v != nil {
			r.signal(a.platform, "node annotation "+a.key)
			r.nodeArgs(v, a.source, join(join(join(base, "metadata"), "annotations"), a.key))
		}
	}
	r.nodeMarks(n, meta.Get("labels"))
	slices := source{"node podCIDRs", rankSlices, Minimum, false}
	paths := []string{"spec.podCIDRs"}
	if !n.Has("spec.podCIDRs") {
		paths = []string{"spec.podCIDR"}
	}
	before := len(r.data.Evidence)
	r.paths(Pod, slices, n, base, paths)
	for _, e := range r.data.Evidence[before:] {
		r.data.NodeCIDR = append(r.data.NodeCIDR, e.Ranges.Prefixes()...)
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
func (r *reader) apiGroups(n *document.Node, _ string) {
	groups := n.Get("groups")
	if groups == nil {
		return
	}
	for _, g := range groups.Items {
		if platform, ok := groupMarks[g.Get("name").Str()]; ok {
			r.signal(platform, "API group "+g.Get("name").Str())
		}
	}
}

// serverVersion reads the version of an API server. It identifies the platform
// where no node does.
func serverVersion(r *reader, n *document.Node, _ string) {
	r.data.version = n.Get("gitVersion").Str()
	r.data.minor, _ = strconv.Atoi(strings.TrimRight(n.Get("minor").Str(), "+"))
}

func (r *reader) nodeMarks(n, labels *document.Node) {
	control, azure := false, false
	if labels != nil {
		for _, f := range labels.Fields {
			control = control || f.Name == "node-role.kubernetes.io/control-plane" || f.Name == "node-role.kubernetes.io/master" ||
				f.Name == "kubernetes.io/role" && f.Value.Str() == "master"
			azure = azure || strings.HasPrefix(f.Name, "kubernetes.azure.com/")
			for _, m := range labelMarks {
				prefix := strings.HasSuffix(m.label, "/") || strings.HasSuffix(m.label, "-")
				if (f.Name == m.label || prefix && strings.HasPrefix(f.Name, m.label)) && (m.value == "" || f.Value.Str() == m.value) {
					r.signal(m.platform, "node label "+f.Name)
				}
			}
		}
	}
	if control && azure {
		r.signal("acs", "node label of Azure on a master")
	}
	info := n.At("status", "nodeInfo")
	r.versionMarks(info.Get("kubeletVersion").Str(), info.Get("osImage").Str(), n.At("spec", "providerID").Str(), control)
}

// versionMarks identifies platforms by the names of their kubelets and images. A
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
