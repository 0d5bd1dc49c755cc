package ranges

import (
	"net/netip"
	"strings"
)

// kubeKind reads one kind of Kubernetes object.
type kubeKind struct {
	kind  string
	group func(string) bool
	read  func(r *reader, n *node, base string)
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
	{"Status", exactly(""), func(r *reader, n *node, base string) {
		if m := n.get("message"); m.str() != "" {
			r.probe(strings.Split(m.text, "\n"), m.line, join(base, "message"))
		}
	}},
	{"DaemonSet", exactly("apps"), func(r *reader, n *node, base string) {
		r.markers(n.at("metadata", "namespace").str(), n.at("metadata", "name").str())
		r.containers(n.at("spec", "template", "spec"), n.at("metadata", "namespace").str(), base+".spec.template.spec")
	}},
	{"ServiceCIDR", exactly("networking.k8s.io"), func(r *reader, n *node, base string) {
		r.paths(Service, source{"ServiceCIDR", rankServiceCIDR, Complete, false}, n, base, []string{"spec.cidrs"})
	}},
	{"Network", exactly("config.openshift.io"), func(r *reader, n *node, base string) {
		r.signal("openshift", "object of config.openshift.io")
		r.paths(Service, source{"OpenShift Network, status", rankOpenShift, Complete, false}, n, base, []string{"status.serviceNetwork"})
		r.paths(Pod, source{"OpenShift Network, status", rankPool, Complete, false}, n, base, []string{"status.clusterNetwork.cidr"})
	}},
	{"ClusterVersion", exactly("config.openshift.io"), func(r *reader, _ *node, _ string) {
		r.signal("openshift", "object of config.openshift.io")
	}},
	{"IPPool", within("projectcalico.org"), (*reader).ipPool},
	{"Installation", exactly("operator.tigera.io"), func(r *reader, n *node, base string) {
		r.paths(Pod, source{"Calico Installation", rankPodConfig, Claimed, false}, n, base, []string{"spec.calicoNetwork.ipPools.cidr"})
	}},
	{"CiliumPodIPPool", exactly("cilium.io"), func(r *reader, n *node, base string) {
		r.paths(Pod, source{"CiliumPodIPPool", rankPool, Complete, false}, n, base, []string{"spec.ipv4.cidrs", "spec.ipv6.cidrs"})
	}},
	{"CiliumNode", exactly("cilium.io"), (*reader).ciliumNode},
	{"NodeNetworkConfig", exactly("acn.azure.com"), func(r *reader, n *node, base string) {
		r.signal("aks", "NodeNetworkConfig")
		r.paths(Pod, source{"AKS NodeNetworkConfig", rankPool, Complete, false}, n, base,
			[]string{"status.networkContainers.subnetAddressSpace"})
	}},
	{"KubeProxyConfiguration", exactly("kubeproxy.config.k8s.io"), (*reader).kubeProxy},
}

// kube reads a Kubernetes-style object and reports whether its kind is known.
// The elements of a list need not repeat their kind.
func (r *reader) kube(kind, group string, n *node, base string) bool {
	if items := n.get("items"); items != nil && strings.HasSuffix(kind, "List") {
		known := len(items.items) == 0
		for i, item := range items.items {
			k, g := item.get("kind").str(), group
			if k == "" {
				k = strings.TrimSuffix(kind, "List")
			} else if v := item.get("apiVersion").str(); v != "" {
				g = apiGroup(v)
			}
			if item.shape == mapping {
				r.root++
				known = r.kube(k, g, item, join(base, "items")+index(i)) || known
			}
		}
		return known
	}
	if kind == "ConfigMap" && group == "" { // may hold documents of any kind
		r.configMap(n, base)
		return true
	}
	for i := range kubeKinds {
		if k := &kubeKinds[i]; k.kind == kind && k.group(group) {
			k.read(r, n, base)
			return true
		}
	}
	for i := range docKinds {
		if k := &docKinds[i]; k.kind == kind && k.group == group {
			r.describe(k, n, base)
			return true
		}
	}
	// The companions of documents that hold ranges.
	return kind == "InitConfiguration" || kind == "JoinConfiguration" || kind == "KubeletConfiguration"
}

// pod reads flags of control-plane pods, and a running pod's address.
func (r *reader) pod(n *node, base string) {
	namespace, name := n.at("metadata", "namespace").str(), n.at("metadata", "name").str()
	r.markers(namespace, name)
	r.containers(n.get("spec"), namespace, join(base, "spec"))
	phase := n.at("status", "phase").str()
	if n.at("spec", "hostNetwork").isTrue() || phase == "Succeeded" || phase == "Failed" {
		return
	}
	ips := append(n.at("status", "podIP").strings(), texts(n.find("status.podIPs.ip", ""))...)
	host := append(n.at("status", "hostIP").strings(), texts(n.find("status.hostIPs.ip", ""))...)
	for _, h := range host {
		for _, ip := range ips {
			if ip == h {
				return // the node's own address
			}
		}
	}
	r.facts.PodIP = addresses(r.facts.PodIP, ips, "pod "+namespace+"/"+name)
}

// markers are pods that say what gives pods their addresses.
func (r *reader) markers(namespace, name string) {
	if namespace == "kube-system" && (name == "aws-node" || strings.HasPrefix(name, "aws-node-")) {
		r.native("the Amazon VPC plugin (aws-node) gives pods addresses of the VPC")
		r.vpc = true
	}
}

func (r *reader) native(why string) {
	for _, have := range r.facts.native {
		if have == why {
			return
		}
	}
	r.facts.native = append(r.facts.native, why)
}

func texts(fs []found) []string {
	var out []string
	for _, f := range fs {
		out = append(out, f.node.text)
	}
	return out
}

// addresses adds those of values that are addresses, once each.
func addresses(to []Address, values []string, what string) []Address {
	from := len(to)
	for _, v := range values {
		a, err := netip.ParseAddr(v)
		if err != nil {
			continue
		}
		dup := false
		for _, have := range to[from:] {
			dup = dup || have.Addr == a.Unmap()
		}
		if !dup {
			to = append(to, Address{a.Unmap(), what})
		}
	}
	return to
}

// service notes cluster IPs, to check ranges against.
func (r *reader) service(n *node, _ string) {
	namespace, name := n.at("metadata", "namespace").str(), n.at("metadata", "name").str()
	if n.at("spec", "type").str() == "ExternalName" {
		return
	}
	ips := append(n.at("spec", "clusterIP").strings(), n.at("spec", "clusterIPs").strings()...)
	before := len(r.facts.ClusterIP)
	r.facts.ClusterIP = addresses(r.facts.ClusterIP, ips, "Service "+namespace+"/"+name)
	added := r.facts.ClusterIP[before:]
	if namespace == "default" && name == "kubernetes" {
		for _, a := range added {
			r.facts.kubernetes = append(r.facts.kubernetes, a.Addr)
		}
		r.facts.apiServer = append(r.facts.apiServer, added...)
	}
	if n.at("metadata", "labels", "k8s-app").str() == "kube-dns" || namespace == "kube-system" && name == "kube-dns" {
		r.facts.dns = append(r.facts.dns, added...)
	}
}

// endpoints notes where the API server is behind its Service.
func (r *reader) endpoints(n *node, _ string) {
	namespace, name := n.at("metadata", "namespace").str(), n.at("metadata", "name").str()
	if namespace == "default" && (name == "kubernetes" || n.at("metadata", "labels", "kubernetes.io/service-name").str() == "kubernetes") {
		r.facts.apiServer = addresses(r.facts.apiServer, texts(n.find("endpoints.addresses", "")), "endpoint of Service default/kubernetes")
	}
}

// ipPool takes Calico's pools that pods get addresses from.
func (r *reader) ipPool(n *node, base string) {
	uses := n.at("spec", "allowedUses").strings()
	workload := len(uses) == 0
	for _, u := range uses {
		workload = workload || u == "Workload"
	}
	if workload && !n.at("spec", "disabled").isTrue() {
		r.paths(Pod, source{"Calico IPPool", rankPool, Complete, false}, n, base, []string{"spec.cidr"})
	}
}

// ciliumNode takes the VPC's ranges in ENI mode, and a node's slices otherwise.
func (r *reader) ciliumNode(n *node, base string) {
	enis := n.at("status", "eni", "enis")
	if enis == nil || len(enis.fields) == 0 {
		r.paths(Pod, source{"CiliumNode slices", rankSlices, LowerBound, false}, n, base, []string{"spec.ipam.podCIDRs"})
		return
	}
	src := source{"CiliumNode, ranges of the VPC", rankPool, Complete, false}
	for _, f := range enis.fields {
		r.paths(Pod, src, f.value, join(join(join(base, "status"), "eni"), "enis")+"."+clip(f.name), []string{"vpc.primary-cidr", "vpc.cidrs"})
	}
}

// kubeProxy takes clusterCIDR where kube-proxy itself would use it.
func (r *reader) kubeProxy(n *node, base string) {
	if mode := n.get("detectLocalMode").str(); mode != "" && mode != "ClusterCIDR" && len(n.get("clusterCIDR").strings()) > 0 {
		r.facts.warn("%s: clusterCIDR is of no effect with detectLocalMode %s; it was not taken", r.place(n, base), clip(mode))
		return
	}
	r.paths(Pod, source{"kube-proxy clusterCIDR", rankKubeProxy, Claimed, true}, n, base, []string{"clusterCIDR"})
}
