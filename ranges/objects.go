package ranges

import (
	"regexp"
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// kubeKind reads one kind of Kubernetes object.
type kubeKind struct {
	kind  string
	group func(string) bool
	read  func(r *reader, n *document.Node, base string)
}

func exactly(g string) func(string) bool { return func(s string) bool { return s == g } }

func within(g string) func(string) bool {
	return func(s string) bool { return s == g || strings.HasSuffix(s, "."+g) }
}

var kubeKinds = []kubeKind{
	{"Pod", exactly(""), (*reader).pod},
	{"Node", exactly(""), (*reader).node},
	{"Service", exactly(""), (*reader).service},
	{"EndpointSlice", exactly("discovery.k8s.io"), (*reader).endpoints},
	{"APIGroupList", exactly(""), (*reader).apiGroups},
	{"Status", exactly(""), func(r *reader, n *document.Node, base string) {
		if m := n.Get("message"); m.Str() != "" {
			r.probe(strings.Split(m.Text, "\n"), m.Line, join(base, "message"))
		}
	}},
	{"DaemonSet", exactly("apps"), func(r *reader, n *document.Node, base string) {
		r.markers(n.At("metadata", "namespace").Str(), n.At("metadata", "name").Str())
		r.containers(n.At("spec", "template", "spec"), n.At("metadata", "namespace").Str(), base+".spec.template.spec")
	}},
	{"ServiceCIDR", exactly("networking.k8s.io"), func(r *reader, n *document.Node, base string) {
		r.paths(Service, source{"ServiceCIDR", rankServiceCIDR, Complete, false}, n, base, []string{"spec.cidrs"})
	}},
	{"Network", exactly("config.openshift.io"), func(r *reader, n *document.Node, base string) {
		r.signal("openshift", "object of config.openshift.io")
		r.paths(Service, source{"OpenShift Network, status", rankOpenShift, Complete, false}, n, base, []string{"status.serviceNetwork"})
		r.paths(Pod, source{"OpenShift Network, status", rankPool, Complete, false}, n, base, []string{"status.clusterNetwork.cidr"})
	}},
	{"ClusterVersion", exactly("config.openshift.io"), func(r *reader, _ *document.Node, _ string) {
		r.signal("openshift", "object of config.openshift.io")
	}},
	{"IPPool", within("projectcalico.org"), (*reader).ipPool},
	{"Installation", exactly("operator.tigera.io"), func(r *reader, n *document.Node, base string) {
		r.paths(Pod, source{"Calico Installation", rankPodConfig, Configured, false}, n, base, []string{"spec.calicoNetwork.ipPools.cidr"})
	}},
	{"CiliumPodIPPool", exactly("cilium.io"), func(r *reader, n *document.Node, base string) {
		r.paths(Pod, source{"CiliumPodIPPool", rankPool, Complete, false}, n, base, []string{"spec.ipv4.cidrs", "spec.ipv6.cidrs"})
	}},
	{"CiliumNode", exactly("cilium.io"), (*reader).ciliumNode},
	{"NodeNetworkConfig", exactly("acn.azure.com"), func(r *reader, n *document.Node, base string) {
		r.signal("aks", "NodeNetworkConfig")
		r.paths(Pod, source{"AKS NodeNetworkConfig", rankPool, Complete, false}, n, base,
			[]string{"status.networkContainers.subnetAddressSpace"})
	}},
	{"KubeProxyConfiguration", exactly("kubeproxy.config.k8s.io"), (*reader).kubeProxy},
}

// pod reads flags of control-plane pods, and a running pod's address.
func (r *reader) pod(n *document.Node, base string) {
	namespace, name := n.At("metadata", "namespace").Str(), n.At("metadata", "name").Str()
	r.markers(namespace, name)
	r.containers(n.Get("spec"), namespace, join(base, "spec"))
	phase := n.At("status", "phase").Str()
	if isTrue(n.At("spec", "hostNetwork")) || phase == "Succeeded" || phase == "Failed" {
		return
	}
	ips := append(stringsOf(n.At("status", "podIP")), texts(find(n, "status.podIPs.ip", ""))...)
	host := append(stringsOf(n.At("status", "hostIP")), texts(find(n, "status.hostIPs.ip", ""))...)
	for _, h := range host {
		for _, ip := range ips {
			if ip == h {
				return // the node's own address
			}
		}
	}
	r.data.PodIP = addresses(r.data.PodIP, ips, "pod "+namespace+"/"+name)
}

// markers are pods that identify what assigns pods their addresses.
func (r *reader) markers(namespace, name string) {
	if namespace == "kube-system" && (name == "aws-node" || strings.HasPrefix(name, "aws-node-")) {
		r.native("the Amazon VPC plugin (aws-node) assigns pods addresses from the VPC")
		r.vpc = true
	}
}

// service notes cluster IPs, to check ranges against.
func (r *reader) service(n *document.Node, _ string) {
	namespace, name := n.At("metadata", "namespace").Str(), n.At("metadata", "name").Str()
	if n.At("spec", "type").Str() == "ExternalName" {
		return
	}
	ips := append(stringsOf(n.At("spec", "clusterIP")), stringsOf(n.At("spec", "clusterIPs"))...)
	before := len(r.data.ClusterIP)
	r.data.ClusterIP = addresses(r.data.ClusterIP, ips, "Service "+namespace+"/"+name)
	added := r.data.ClusterIP[before:]
	if namespace == "default" && name == "kubernetes" {
		for _, a := range added {
			r.data.kubernetes = append(r.data.kubernetes, a.Addr)
		}
		r.data.apiServer = append(r.data.apiServer, added...)
	}
	if n.At("metadata", "labels", "k8s-app").Str() == "kube-dns" || namespace == "kube-system" && name == "kube-dns" {
		r.data.dns = append(r.data.dns, added...)
	}
}

// endpoints notes where the API server is behind its Service.
func (r *reader) endpoints(n *document.Node, _ string) {
	namespace, name := n.At("metadata", "namespace").Str(), n.At("metadata", "name").Str()
	if namespace == "default" && (name == "kubernetes" || n.At("metadata", "labels", "kubernetes.io/service-name").Str() == "kubernetes") {
		r.data.apiServer = addresses(r.data.apiServer, texts(find(n, "endpoints.addresses", "")), "endpoint of Service default/kubernetes")
	}
}

// ipPool takes Calico's pools that pods get addresses from.
func (r *reader) ipPool(n *document.Node, base string) {
	uses := stringsOf(n.At("spec", "allowedUses"))
	workload := len(uses) == 0
	for _, u := range uses {
		workload = workload || u == "Workload"
	}
	if workload && !isTrue(n.At("spec", "disabled")) {
		r.paths(Pod, source{"Calico IPPool", rankPool, Complete, false}, n, base, []string{"spec.cidr"})
	}
}

// ciliumNode takes the VPC's ranges in ENI mode, and a node's slices otherwise.
func (r *reader) ciliumNode(n *document.Node, base string) {
	enis := n.At("status", "eni", "enis")
	if enis == nil || len(enis.Fields) == 0 {
		r.paths(Pod, source{"CiliumNode slices", rankSlices, Minimum, false}, n, base, []string{"spec.ipam.podCIDRs"})
		return
	}
	src := source{"CiliumNode, ranges of the VPC", rankPool, Complete, false}
	for _, f := range enis.Fields {
		r.paths(Pod, src, f.Value, join(join(join(base, "status"), "eni"), "enis")+"."+problem.Short(f.Name), []string{"vpc.primary-cidr", "vpc.cidrs"})
	}
}

// kubeProxy takes clusterCIDR where kube-proxy itself would use it.
func (r *reader) kubeProxy(n *document.Node, base string) {
	if mode := n.Get("detectLocalMode").Str(); mode != "" && mode != "ClusterCIDR" && len(stringsOf(n.Get("clusterCIDR"))) > 0 {
		r.data.warn("%s: clusterCIDR ignored because detectLocalMode is %s", r.place(n, base), problem.Short(mode))
		return
	}
	r.paths(Pod, source{"kube-proxy clusterCIDR", rankKubeProxy, Configured, true}, n, base, []string{"clusterCIDR"})
}

var validRange = regexp.MustCompile(`The range of valid IPs is ([0-9A-Fa-f:./, ]*[0-9A-Fa-f:])`)

// probe reads an API server's error for an invalid clusterIP. Only what follows "the
// range of valid IPs is" is a range; the error of newer servers lacks it.
func (r *reader) probe(lines []string, first int, path string) bool {
	known := false
	for i, l := range lines {
		if !strings.Contains(l, "failed to allocate") {
			continue
		}
		known = true
		m := validRange.FindStringSubmatch(l)
		if m == nil {
			r.addGap(gap{kind: Service, soft: true, why: "the API server's error does not include the CIDR (Kubernetes 1.33 and later omit it)",
				command: "kubectl get servicecidrs -o yaml"}, &document.Node{Line: first + i}, path)
			continue
		}
		if path == "" {
			path = "The range of valid IPs is"
		}
		src := source{"API server's error for an invalid clusterIP", rankProbe, Minimum, false}
		r.take(Service, src, found{scalar(first+i, m[1]), path})
	}
	return known
}
