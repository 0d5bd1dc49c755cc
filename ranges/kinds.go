package ranges

import (
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
)

// docKind is one kind of document and where its ranges stand.
type docKind struct {
	name     string
	platform string
	// provider marks a provider's description of a cluster that exists. Other
	// documents are what a cluster was, or is to be, made from.
	provider bool
	// kind and group are those of a Kubernetes-style object; is recognises any
	// other document.
	kind, group  string
	is           func(*document.Node) bool
	service, pod []string
	// defaults are what the tool fills in for an omitted field.
	defaults func(*document.Node) (service, pod string)
	// serviceKeys and podKeys are keys that mean the same on a line of their own,
	// because only this tool uses them, or all that do use them alike. A line of
	// partKeys is one part of the pod range.
	serviceKeys, podKeys, partKeys []string
	// keyRank is the rank of partKeys, if not that of the document.
	keyRank int
	// more reads what paths cannot express.
	more func(r *reader, n *document.Node, base string)
}

// docKinds in the order in which they are tried: what has a mark of its own
// before what is known by a common word.
var docKinds = []docKind{
	{name: "gcloud container clusters describe", platform: "gke", provider: true,
		is: anyKey("servicesIpv4Cidr", "clusterIpv4Cidr", "servicesIpv4CidrBlock", "clusterIpv4CidrBlock",
			"servicesIpv6CidrBlock", "ipAllocationPolicy"),
		service: under([]string{"servicesIpv4Cidr", "servicesIpv4CidrBlock", "servicesIpv6CidrBlock"}, "ipAllocationPolicy"),
		pod: append(under([]string{"clusterIpv4Cidr", "clusterIpv4CidrBlock", "subnetIpv6CidrBlock"}, "ipAllocationPolicy"),
			"nodePools.networkConfig.podIpv4CidrBlock"),
		more:        gkeNames,
		serviceKeys: []string{"servicesIpv4Cidr", "servicesIpv4CidrBlock", "servicesIpv6CidrBlock"},
		podKeys:     []string{"clusterIpv4Cidr", "clusterIpv4CidrBlock", "subnetIpv6CidrBlock"}, partKeys: []string{"podIpv4CidrBlock"}},
	{name: "gcloud container node-pools describe", platform: "gke", is: anyPath("networkConfig.podIpv4CidrBlock"), more: gkePool},
	{name: "az aro show", platform: "openshift", provider: true,
		is:      func(n *document.Node) bool { return isARO(n) || isARO(n.Get("properties")) },
		service: under([]string{"networkProfile.serviceCidr"}, "properties"),
		pod:     under([]string{"networkProfile.podCidr"}, "properties")},
	{name: "az aks show", platform: "aks", provider: true, is: isAKS,
		service:     under([]string{"serviceCidrs", "serviceCidr"}, "networkProfile", "properties.networkProfile"),
		pod:         under([]string{"podCidrs", "podCidr"}, "networkProfile", "properties.networkProfile"),
		more:        aksSubnets,
		serviceKeys: []string{"serviceCidr", "serviceCidrs"}, podKeys: []string{"podCidr", "podCidrs"}},
	{name: "aws eks describe-cluster", platform: "eks", provider: true,
		is:          anyKey("kubernetesNetworkConfig", "serviceIpv4Cidr", "serviceIpv6Cidr", "resourcesVpcConfig"),
		service:     under([]string{"serviceIpv4Cidr", "serviceIpv6Cidr"}, "kubernetesNetworkConfig"),
		more:        eksVPC,
		serviceKeys: []string{"serviceIpv4Cidr", "serviceIpv6Cidr"}},
	{name: "eksctl get cluster", platform: "eks", provider: true, is: anyKey("KubernetesNetworkConfig"),
		service: []string{"KubernetesNetworkConfig.ServiceIpv4Cidr", "KubernetesNetworkConfig.ServiceIpv6Cidr"}, more: eksVPC},
	{name: "ibmcloud ks cluster get", platform: "iks", provider: true, is: isIKS,
		service: []string{"serviceSubnet"}, pod: []string{"podSubnet", "podSubnets"}, more: iksFlavour,
		serviceKeys: []string{"Service Subnet"}, podKeys: []string{"Pod Subnet"}},
	{name: "oci ce cluster get", platform: "oke", provider: true,
		is:          anyPath("options.kubernetes-network-config", "options.kubernetesNetworkConfig"),
		service:     []string{"options.kubernetes-network-config.services-cidr", "options.kubernetesNetworkConfig.servicesCidr"},
		more:        okePods,
		serviceKeys: []string{"services-cidr"}, podKeys: []string{"pods-cidr"}},
	{name: "doctl kubernetes cluster get", platform: "doks", provider: true, is: anyKey("cluster_subnet", "service_subnet"),
		service: []string{"service_subnet"}, pod: []string{"cluster_subnet"},
		serviceKeys: []string{"service_subnet"}, podKeys: []string{"cluster_subnet"}},
	{name: "tccli tke DescribeClusters", platform: "tke", provider: true, is: anyKey("ClusterNetworkSettings", "ClusterCIDR"),
		service: under([]string{"ServiceCIDR"}, "ClusterNetworkSettings"), more: tkePods,
		podKeys: []string{"ClusterCIDR"}},
	{name: "ACK cluster", platform: "ack", is: isACK, more: ackRanges,
		serviceKeys: []string{"service_cidr"}, podKeys: []string{"container_cidr"}},
	{name: "acs-engine apimodel", platform: "acs", is: anyPath("properties.orchestratorProfile.kubernetesConfig"),
		service: []string{"properties.orchestratorProfile.kubernetesConfig.serviceCidr"},
		pod:     []string{"properties.orchestratorProfile.kubernetesConfig.clusterSubnet"},
		podKeys: []string{"clusterSubnet"}},
	{name: "IBM Cloud Private config.yaml", platform: "icp", is: anyKey("service_cluster_ip_range", "network_cidr"),
		service: []string{"service_cluster_ip_range"}, pod: []string{"network_cidr"},
		serviceKeys: []string{"service_cluster_ip_range"}, podKeys: []string{"network_cidr"}},
	{name: "Talos machine configuration", platform: "talos", is: isTalos,
		service: []string{"cluster.network.serviceSubnets"}, pod: []string{"cluster.network.podSubnets"},
		defaults:    talosDefaults,
		serviceKeys: []string{"serviceSubnets"}, podKeys: []string{"podSubnets"}},
	{name: "OpenShift install-config", platform: "openshift", is: isInstallConfig,
		service: []string{"networking.serviceNetwork"}, pod: []string{"networking.clusterNetwork.cidr"},
		defaults: constant("172.30.0.0/16", "10.128.0.0/14")},
	{name: "Rancher RKE cluster.yml", is: anyPath("services.kube-api", "services.kube-controller"),
		service: []string{"services.kube-api.service_cluster_ip_range", "services.kube-controller.service_cluster_ip_range"},
		pod:     []string{"services.kube-controller.cluster_cidr"}},
	{name: "Kubespray variables", is: anyKey("kube_service_addresses", "kube_pods_subnet"),
		service: []string{"kube_service_addresses"}, pod: []string{"kube_pods_subnet"}},
	{name: "minikube profile", platform: "minikube", is: anyPath("KubernetesConfig.ServiceCIDR"),
		service: []string{"KubernetesConfig.ServiceCIDR"}},
	{name: "k3s/RKE2 config.yaml", platform: "k3s-config", is: isK3s,
		service: []string{"service-cidr"}, pod: []string{"cluster-cidr"},
		defaults:    constant(k3sService, k3sPod),
		serviceKeys: []string{"service-cidr"}, podKeys: []string{"cluster-cidr"}},
	{name: "version of the API server", is: anyKey("gitVersion"), more: serverVersion},
	{name: "flannel net-conf.json", is: isFlannel, more: flannel},
	{name: "Cilium configuration", is: func(n *document.Node) bool {
		return n.HasKey("ipam") && n.HasKey("cluster-pool-ipv4-cidr", "cluster-pool-ipv6-cidr", "routing-mode", "cilium-endpoint-gc-interval")
	}, more: cilium},
	{name: "CNI configuration of a node", is: func(n *document.Node) bool { return n.HasKey("cniVersion") && n.HasKey("plugins", "ipam") }, more: cni},
	{name: "cloud network", is: isSupply, more: supplies},

	{name: "kubeadm ClusterConfiguration", platform: "kubeadm", kind: "ClusterConfiguration", group: "kubeadm.k8s.io",
		service: []string{"networking.serviceSubnet"}, pod: []string{"networking.podSubnet"},
		defaults: constant("10.96.0.0/12", "")},
	{name: "kind configuration", platform: "kind", kind: "Cluster", group: "kind.x-k8s.io",
		service: []string{"networking.serviceSubnet"}, pod: []string{"networking.podSubnet"}, defaults: kindDefaults},
	{name: "eksctl ClusterConfig", platform: "eks", kind: "ClusterConfig", group: "eksctl.io",
		service: []string{"kubernetesNetworkConfig.serviceIPv4CIDR"}, more: eksctl,
		serviceKeys: []string{"serviceIPv4CIDR"}},
	{name: "nodeadm NodeConfig", platform: "eks", kind: "NodeConfig", group: "node.eks.aws",
		service: []string{"spec.cluster.cidr"}, more: eksVPC},
	{name: "k3d configuration", platform: "k3s", kind: "Simple", group: "k3d.io", more: k3d},
	{name: "Talos KubeNetworkConfig", platform: "talos", kind: "KubeNetworkConfig",
		service: []string{"serviceSubnets"}, pod: []string{"podSubnets"}},
	{name: "k0s ClusterConfig", kind: "ClusterConfig", group: "k0s.k0sproject.io",
		service: []string{"spec.network.serviceCIDR"}, pod: []string{"spec.network.podCIDR"}, more: k0s},
	{name: "kops Cluster", kind: "Cluster", group: "kops.k8s.io",
		service: []string{"spec.serviceClusterIPRange", "spec.networking.serviceClusterIPRange"},
		pod:     []string{"spec.podCIDR", "spec.networking.podCIDR"}},
	{name: "Cluster API Cluster", kind: "Cluster", group: "cluster.x-k8s.io",
		service: []string{"spec.clusterNetwork.services.cidrBlocks"}, pod: []string{"spec.clusterNetwork.pods.cidrBlocks"}},
	{name: "EKS Anywhere Cluster", kind: "Cluster", group: "anywhere.eks.amazonaws.com",
		service: []string{"spec.clusterNetwork.services.cidrBlocks"}, pod: []string{"spec.clusterNetwork.pods.cidrBlocks"}},
	{name: "OpenShift operator Network", platform: "openshift", kind: "Network", group: "operator.openshift.io",
		service: []string{"spec.serviceNetwork"}, pod: []string{"spec.clusterNetwork.cidr"}},

	// Known by the keys of single lines only.
	{name: "line serviceSubnet", serviceKeys: []string{"serviceSubnet"}},
	{name: "line podSubnet", podKeys: []string{"podSubnet"}},
	{name: "line serviceNetwork", platform: "openshift", serviceKeys: []string{"serviceNetwork"}},
	{name: "line ServiceCIDR", provider: true, serviceKeys: []string{"ServiceCIDR"}},
	{name: "kube-proxy clusterCIDR", keyRank: rankKubeProxy, partKeys: []string{"clusterCIDR"}},
	{name: "node podCIDRs", keyRank: rankSlices, partKeys: []string{"podCIDR", "podCIDRs", "PodCIDR", "PodCIDRs"}},
}

func anyKey(names ...string) func(*document.Node) bool {
	return func(n *document.Node) bool { return n.HasKey(names...) }
}

func anyPath(paths ...string) func(*document.Node) bool {
	return func(n *document.Node) bool {
		for _, p := range paths {
			if n.Has(p) {
				return true
			}
		}
		return false
	}
}

func constant(service, pod string) func(*document.Node) (string, string) {
	return func(*document.Node) (string, string) { return service, pod }
}

func isARO(n *document.Node) bool {
	return n.Has("networkProfile") && (n.Has("masterProfile") || n.Has("consoleProfile"))
}

func isAKS(n *document.Node) bool {
	keys := anyKey("networkPlugin", "serviceCidr", "serviceCidrs", "podCidr", "podCidrs")
	return keys(n.Get("networkProfile")) || keys(n.At("properties", "networkProfile")) ||
		n.HasKey("networkPlugin") && keys(n) || n.HasKey("serviceCidrs", "podCidrs")
}

func isIKS(n *document.Node) bool {
	return n.HasKey("serviceSubnet", "podSubnet") &&
		n.HasKey("masterKubeVersion", "vlans", "vpcs", "serverURL", "masterURL", "dataCenter", "workerCount", "podSubnets")
}

func isACK(n *document.Node) bool {
	return n.HasKey("container_cidr") || n.HasKey("service_cidr", "subnet_cidr") &&
		n.HasKey("cluster_type", "cluster_id", "vpcid", "vpc_id", "vswitch_ids", "region_id")
}

func isTalos(n *document.Node) bool {
	return n.Has("machine") && n.Get("version").Str() == "v1alpha1" || n.Has("cluster.network.serviceSubnets") || n.Has("cluster.network.podSubnets")
}

func isInstallConfig(n *document.Node) bool {
	net := n.Get("networking")
	return net.HasKey("clusterNetwork", "serviceNetwork", "machineNetwork") || n.HasKey("baseDomain") && n.HasKey("pullSecret")
}

// isK3s recognizes a server's config.yaml by its range flags, or by two flags that
// only servers have.
func isK3s(n *document.Node) bool {
	if n.HasKey("service-cidr", "cluster-cidr") {
		return true
	}
	only := 0
	for _, k := range []string{"write-kubeconfig-mode", "write-kubeconfig", "tls-san", "cluster-init", "cluster-dns",
		"cluster-domain", "flannel-backend", "disable", "disable-kube-proxy", "disable-network-policy", "cni", "etcd-expose-metrics",
		"secrets-encryption", "datastore-endpoint", "kube-apiserver-arg", "service-node-port-range"} {
		if n.HasKey(k) {
			only++
		}
	}
	return only >= 2
}

func isFlannel(n *document.Node) bool {
	return strings.Contains(n.Get("Network").Str()+n.Get("IPv6Network").Str(), "/")
}

func kindDefaults(n *document.Node) (service, pod string) {
	switch strings.ToLower(n.At("networking", "ipFamily").Str()) {
	case "ipv6":
		return "fd00:10:96::/112", "fd00:10:244::/56"
	case "dual":
		return "10.96.0.0/16,fd00:10:96::/112", "10.244.0.0/16,fd00:10:244::/56"
	}
	return "10.96.0.0/16", "10.244.0.0/16"
}

// talosDefaults are for a control plane: a worker's document need not hold the
// cluster's networks.
func talosDefaults(n *document.Node) (service, pod string) {
	if t := n.At("machine", "type").Str(); t != "controlplane" && t != "init" {
		return "", ""
	}
	return "10.96.0.0/12", "10.244.0.0/16"
}
