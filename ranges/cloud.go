package ranges

import (
	"fmt"
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// gkeNames finds pod ranges that a description only names. A name is known
// where a node pool gives its range.
func gkeNames(r *reader, n *document.Node, base string) {
	known := map[string]bool{}
	for _, at := range []*document.Node{n, n.Get("ipAllocationPolicy")} {
		if at.HasKey("clusterIpv4CidrBlock", "clusterIpv4Cidr") || n.HasKey("clusterIpv4Cidr") {
			known[at.Get("clusterSecondaryRangeName").Str()] = true
		}
	}
	pools := n.Get("nodePools")
	if pools != nil {
		for _, p := range pools.Items {
			if p.Has("networkConfig.podIpv4CidrBlock") {
				known[p.At("networkConfig", "podRange").Str()] = true
			}
		}
	}
	subnet := n.Get("subnetwork").Str()
	if subnet == "" {
		subnet = "SUBNETWORK"
	}
	region := n.Get("location").Str()
	if strings.Count(region, "-") == 2 { // a zone
		region = region[:strings.LastIndexByte(region, '-')]
	}
	if region == "" {
		region = "REGION"
	}
	paths := under([]string{"clusterSecondaryRangeName", "additionalPodRangesConfig.podRangeNames", "additionalPodRangesConfig.podRangeInfo.rangeName",
		"additionalIpRangesConfigs.podIpv4RangeNames"}, "ipAllocationPolicy")
	for _, p := range append(paths, "nodePools.networkConfig.podRange") {
		for _, f := range find(n, p, base) {
			if name := f.node.Text; !known[name] {
				known[name] = true
				r.addGap(gap{kind: Pod, family: IPv4, need: "gcp:" + name,
					why:     fmt.Sprintf("pod range %q is referenced by name only", problem.Short(name)),
					command: fmt.Sprintf("gcloud compute networks subnets describe %s --region %s --format json", shellWord(subnet), shellWord(region)),
				}, f.node, f.path)
			}
		}
	}
}

// gkePool reads one node pool: its pods' range is a part of the cluster's.
func gkePool(r *reader, n *document.Node, base string) {
	src := source{"gcloud container node-pools describe", rankProvider, Minimum, false}
	r.paths(Pod, src, n, base, []string{"networkConfig.podIpv4CidrBlock"})
}

// aksSubnets handles clusters whose pods use addresses from a VNet subnet, which
// the description names and does not give.
func aksSubnets(r *reader, n *document.Node, base string) {
	if props := n.Get("properties"); props.Has("networkProfile") {
		n, base = props, join(base, "properties")
	}
	profile := n.Get("networkProfile")
	if profile == nil {
		profile = n
	}
	if len(stringsOf(profile.Get("podCidr")))+len(stringsOf(profile.Get("podCidrs"))) > 0 {
		return
	}
	var ids []found
	for _, pool := range []string{"podSubnetId", "vnetSubnetId", "podSubnetID", "vnetSubnetID"} {
		if strings.HasPrefix(pool, "vnet") && len(ids) > 0 {
			continue
		}
		ids = append(ids, find(n, "agentPoolProfiles."+pool, base)...)
	}
	seen := map[string]bool{}
	for _, f := range ids {
		key := "azure:" + strings.ToLower(f.node.Text)
		if seen[key] {
			continue
		}
		seen[key] = true
		r.addGap(gap{kind: Pod, need: key, why: "pods use addresses from the VNet subnet " + last(f.node.Text) + ", whose range is not in the document",
			command: "az network vnet subnet show --ids " + shellWord(f.node.Text) + " -o json"}, f.node, f.path)
	}
	if len(ids) == 0 {
		r.addGap(gap{kind: Pod, soft: true, need: "azure:", why: "the document has no pod range: pods use addresses from a VNet subnet that it does not name",
			command: "az network vnet subnet show -g GROUP --vnet-name VNET -n SUBNET -o json"}, profile, base)
	}
	if profile.Get("networkPlugin").Str() != "none" {
		r.native("Azure CNI assigns pods addresses from a VNet subnet")
	}
}

func last(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// eksVPC handles pods of EKS: they have addresses of the VPC, but for those on
// hybrid nodes.
func eksVPC(r *reader, n *document.Node, base string) {
	remote := source{"aws eks describe-cluster, remote pod networks", rankProvider, Minimum, false}
	before := len(r.data.Evidence)
	r.paths(Pod, remote, n, base, []string{"remoteNetworkConfig.remotePodNetworks.cidrs"})
	g := gap{kind: Pod, soft: len(r.data.Evidence) == before, family: IPv4}
	if strings.EqualFold(n.At("kubernetesNetworkConfig", "ipFamily").Str(), "ipv6") || n.Has("kubernetesNetworkConfig.serviceIpv6Cidr") || n.Has("serviceIpv6Cidr") {
		g.family = IPv6
	}
	if n.Has("KubernetesNetworkConfig.ServiceIpv6Cidr") {
		g.family = IPv6
	}
	g.vpc(n.At("resourcesVpcConfig", "vpcId").Str() + n.At("ResourcesVpcConfig", "VpcId").Str())
	at, path := n.At("resourcesVpcConfig", "vpcId"), join(join(base, "resourcesVpcConfig"), "vpcId")
	if at == nil {
		at, path = n, base
	}
	r.addGap(g, at, path)
}

// vpc fills in that pods use addresses from an AWS VPC.
func (g *gap) vpc(id string) {
	g.need, g.why = "vpc:"+id, "pods use addresses from VPC "+id+", whose ranges are not in the document"
	word := shellWord(id)
	if id == "" {
		g.why, word = "pods use addresses from the cluster's VPC, whose ranges are not in the document",
			"$(aws eks describe-cluster --name CLUSTER --query cluster.resourcesVpcConfig.vpcId --output text)"
	}
	g.command = "aws ec2 describe-vpcs --vpc-ids " + word
}

// eksctl takes the VPC's range for pods where pods have IPv4 addresses.
func eksctl(r *reader, n *document.Node, base string) {
	r.paths(Pod, source{"eksctl ClusterConfig, remote pod networks", rankPodConfig, Minimum, false}, n, base,
		[]string{"remoteNetworkConfig.remotePodNetworks.cidrs"})
	if strings.EqualFold(n.At("kubernetesNetworkConfig", "ipFamily").Str(), "IPv6") {
		g := gap{kind: Pod, family: IPv6}
		g.vpc(n.At("vpc", "id").Str())
		r.addGap(g, n.Get("kubernetesNetworkConfig"), base)
		return
	}
	before := len(r.data.Evidence)
	r.paths(Pod, source{"eksctl ClusterConfig, the VPC's range", rankPodConfig, Configured, true}, n, base,
		[]string{"vpc.cidr", "vpc.extraCIDRs"})
	if len(r.data.Evidence) == before {
		g := gap{kind: Pod, family: IPv4, soft: true}
		g.vpc(n.At("vpc", "id").Str())
		r.addGap(g, n.Get("vpc"), base)
	}
}

// iksFlavour distinguishes OpenShift on IBM Cloud from Kubernetes there.
func iksFlavour(r *reader, n *document.Node, _ string) {
	if n.Get("type").Str() == "openshift" {
		r.signal("openshift", "ibmcloud ks cluster get, type openshift")
	}
}

// okePods takes the pod range but for clusters whose pods use addresses from the
// VCN: there the field is ignored.
func okePods(r *reader, n *document.Node, base string) {
	for _, p := range []string{"cluster-pod-network-options.cni-type", "cluster-pool-network-options.cni-type",
		"clusterPodNetworkOptions.cniType", "options.cluster-pod-network-options.cni-type"} {
		for _, f := range find(n, p, base) {
			if !strings.EqualFold(f.node.Text, "OCI_VCN_IP_NATIVE") {
				continue
			}
			vcn := n.Get("vcn-id").Str() + n.Get("vcnId").Str()
			r.native("the VCN-native plugin assigns pods addresses from VCN subnets")
			r.addGap(gap{kind: Pod, need: "vcn:" + vcn, why: "pods use addresses from VCN subnets, whose ranges are not in the document",
				command: "oci network subnet get --subnet-id SUBNET_OF_THE_PODS"}, f.node, f.path)
			return
		}
	}
	r.paths(Pod, source{"oci ce cluster get", rankProvider, Complete, true}, n, base,
		[]string{"options.kubernetes-network-config.pods-cidr", "options.kubernetesNetworkConfig.podsCidr"})
}

// tkePods takes ClusterCIDR; with VPC-CNI there is none.
func tkePods(r *reader, n *document.Node, base string) {
	before := len(r.data.Evidence)
	r.paths(Pod, source{"tccli tke DescribeClusters", rankProvider, Complete, true}, n, base,
		under([]string{"ClusterCIDR"}, "ClusterNetworkSettings"))
	settings := n.Get("ClusterNetworkSettings")
	if settings == nil {
		settings = n
	}
	if len(r.data.Evidence) == before {
		r.addGap(gap{kind: Pod, need: "tke:" + n.Get("ClusterId").Str(), why: "the document has no ClusterCIDR: pods use addresses from VPC subnets",
			command: "tccli vpc DescribeSubnets --SubnetIds '[\"SUBNET_OF_THE_PODS\"]'"}, settings, base)
	}
	if len(stringsOf(settings.Get("ServiceCIDR"))) == 0 {
		r.addGap(gap{kind: Service, soft: true, why: "the document has no ServiceCIDR: older clusters take Services from the end of ClusterCIDR",
			command: "kubectl get servicecidrs -o yaml"}, settings, base)
	}
}

// ackRanges reads a cluster of Alibaba Cloud: what describes one that exists is
// explicit, the body of a request is a claim.
func ackRanges(r *reader, n *document.Node, base string) {
	service, pod := source{"ACK create body", rankConfig, Configured, true}, source{"ACK create body", rankPodConfig, Configured, true}
	if n.HasKey("cluster_id") {
		r.clusters++
		service = source{"aliyun cs DescribeClusterDetail", rankProvider, Complete, true}
		pod = service
	}
	r.paths(Service, service, n, base, []string{"service_cidr"})
	terway := len(stringsOf(n.Get("pod_vswitch_ids"))) > 0
	for _, f := range find(n, "addons.name", base) {
		terway = terway || strings.HasPrefix(f.node.Text, "terway")
	}
	if !terway {
		r.paths(Pod, pod, n, base, []string{"container_cidr", "subnet_cidr"})
		return
	}
	r.native("Terway assigns pods addresses from vSwitches")
	ids := stringsOf(n.Get("pod_vswitch_ids"))
	if len(ids) == 0 {
		ids = stringsOf(n.Get("vswitch_ids"))
	}
	if len(ids) == 0 {
		ids = []string{"VSWITCH_OF_THE_PODS"}
	}
	for _, id := range ids {
		r.addGap(gap{kind: Pod, need: "vsw:" + id, why: "pods use addresses from vSwitch " + problem.Short(id) + ", whose range is not in the document",
			command: "aliyun vpc DescribeVSwitches --VSwitchId " + shellWord(id)}, n, base)
	}
}

// shellWord is one word of a command line, quoted if it has to be.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(problem.Short(s), "'", `'\''`) + "'"
}
