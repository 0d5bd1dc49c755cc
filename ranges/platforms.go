package ranges

import (
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/cidr"
)

// platformDefault is a row of the table of defaults. A field is empty where the
// platform has no default, or chooses one for each cluster.
type platformDefault struct {
	name         string
	aliases      []string
	title        string
	service, pod string
	// documented is the value that Istio's documentation gave for the platform,
	// by kind, and what is wrong with it.
	documented *documented
	note       string
}

type documented struct {
	value        string
	service, pod string
	warning      string
}

var platformDefaults = []platformDefault{
	{name: "icp", aliases: []string{"ibm-cloud-private"}, title: "IBM Cloud Private", service: "10.0.0.0/16", pod: "10.1.0.0/16",
		documented: &documented{"10.0.0.1/24", "10.0.0.1/24", "",
			"the documented value 10.0.0.1/24 has Services only, as version 3.1 had them (3.2: 10.0.0.0/16); pods, 10.1.0.0/16 by default, would bypass the sidecar"}},
	{name: "iks", aliases: []string{"ibm-cloud"}, title: "IBM Cloud Kubernetes Service", service: "172.21.0.0/16", pod: "172.30.0.0/16",
		note: "pod ranges of clusters on VPC are chosen for each cluster: 172.17.0.0/18, 172.17.64.0/18 and so on",
		documented: &documented{"172.30.0.0/16,172.21.0.0/16,10.10.10.0/24", "172.21.0.0/16", "172.30.0.0/16,10.10.10.0/24",
			"the documented value is for classic clusters; on VPC pods have other ranges (172.17.0.0/18 and so on), and 10.10.10.0/24 is in no default of the platform"}},
	{name: "gke", aliases: []string{"google"}, title: "Google Kubernetes Engine",
		note: "both ranges are chosen for each cluster; recent ones take Services from 34.118.224.0/20",
		documented: &documented{"10.4.0.0/14,10.7.240.0/20", "10.7.240.0/20", "10.4.0.0/14",
			"the documented value is an example: GKE chooses the ranges for each cluster, and recent ones take Services from 34.118.224.0/20"}},
	{name: "acs", aliases: []string{"azure", "azure-container-service"}, title: "Azure Container Service", service: "10.0.0.0/16", pod: "10.244.0.0/16",
		documented: &documented{"10.244.0.0/16,10.240.0.0/16", "", "10.244.0.0/16,10.240.0.0/16",
			"the documented value omits the Services, 10.0.0.0/16 by default, which would bypass the sidecar; 10.240.0.0/16 is the old node subnet"}},
	{name: "minikube", title: "minikube", service: "10.96.0.0/12", pod: "10.244.0.0/16",
		documented: servicesOnly("10.244.0.0/16 by default")},
	{name: "docker-desktop", aliases: []string{"docker-for-desktop"}, title: "Docker Desktop", service: "10.96.0.0/12", pod: "10.1.0.0/16",
		documented: servicesOnly("10.1.0.0/16 by default, or 10.244.0.0/16 with kind"), note: "with kind: 10.96.0.0/16 and 10.244.0.0/16"},
	{name: "bare-metal", title: "bare metal", service: "10.96.0.0/12", documented: servicesOnly("chosen for each cluster")},
	{name: "kubeadm", title: "kubeadm", service: "10.96.0.0/12"},
	{name: "aks", title: "Azure Kubernetes Service", service: "10.0.0.0/16", pod: "10.244.0.0/16",
		note: "only with kubenet or the overlay: otherwise pods use addresses from a VNet subnet"},
	{name: "eks", title: "Amazon EKS", note: "Services have 172.20.0.0/16 or 10.100.0.0/16, chosen for each cluster; pods use addresses from the VPC"},
	{name: "openshift", title: "OpenShift", service: "172.30.0.0/16", pod: "10.128.0.0/14"},
	{name: "k3s", aliases: []string{"k3d", "rancher-desktop"}, title: "k3s", service: k3sService, pod: k3sPod},
	{name: "rke2", title: "RKE2", service: k3sService, pod: k3sPod},
	{name: "kind", title: "kind", service: "10.96.0.0/16", pod: "10.244.0.0/16"},
	{name: "talos", title: "Talos", service: "10.96.0.0/12", pod: "10.244.0.0/16"},
	{name: "microk8s", title: "MicroK8s", service: "10.152.183.0/24", pod: "10.1.0.0/16"},
	{name: "doks", title: "DigitalOcean Kubernetes", service: "10.245.0.0/16", pod: "10.244.0.0/16", note: "clusters on a VPC have ranges chosen from the account"},
	{name: "oke", title: "Oracle Kubernetes Engine", service: "10.96.0.0/16", pod: "10.244.0.0/16",
		note: "only with flannel: the VCN-native plugin assigns pods addresses from VCN subnets"},
	{name: "ack", title: "Alibaba Cloud Kubernetes", note: "both ranges are chosen for each cluster"},
	{name: "tke", title: "Tencent Kubernetes Engine", note: "both ranges are chosen for each cluster"},
	{name: "kops", title: "kops", service: "100.64.0.0/13", pod: "100.96.0.0/11"},
	{name: "k0s", title: "k0s", service: "10.96.0.0/12", pod: "10.244.0.0/16"},
	{name: "kubespray", title: "Kubespray", service: "10.233.0.0/18", pod: "10.233.64.0/18"},
	{name: "eks-anywhere", title: "EKS Anywhere", service: "10.96.0.0/12", pod: "192.168.0.0/16"},
	{name: "lke", title: "Linode Kubernetes Engine", service: "10.128.0.0/16", pod: "10.2.0.0/16"},
}

const (
	k3sService = "10.43.0.0/16"
	k3sPod     = "10.42.0.0/16"
)

func servicesOnly(pods string) *documented {
	return &documented{"10.96.0.0/12", "10.96.0.0/12", "",
		"the documented value 10.96.0.0/12 has Services only, and is not fixed; pods, " + pods + ", would bypass the sidecar"}
}

// Platforms are the names of the table of defaults.
func Platforms() []string {
	var names []string
	for _, p := range platformDefaults {
		names = append(names, p.name)
	}
	slices.Sort(names)
	return names
}

// Canonical is the name of a platform as Platforms has it.
func Canonical(name string) (string, bool) {
	p, ok := lookup(name)
	return p.name, ok
}

func lookup(name string) (platformDefault, bool) {
	name = strings.ToLower(strings.TrimSpace(name))
	for _, p := range platformDefaults {
		if p.name == name || slices.Contains(p.aliases, name) {
			return p, true
		}
	}
	return platformDefault{}, false
}

// defaults is the evidence of a platform's defaults, which documents come before.
func (d *ClusterData) defaults(name string) []Evidence {
	p, ok := lookup(name)
	if !ok {
		return nil
	}
	rank := rankPodUncheckedOnly
	if len(d.NodeCIDR)+len(d.PodIP) > 0 {
		rank = rankPodChecked
	}
	return append(defaultEvidence(p.title+", default", Service, rankUncheckedOnly, p.service),
		defaultEvidence(p.title+", default", Pod, rank, p.pod)...)
}

func defaultEvidence(title string, k Kind, rank int, value string) []Evidence {
	l, err := cidr.Parse(value, cidr.Options{})
	if err != nil || l.IsEmpty() { // a test parses the whole table
		return nil
	}
	return []Evidence{{Kind: k, Family: IPv4, Ranges: l, Value: value, Source: title, Grade: Defaulted,
		Where: Place{Document: defaultsTable}, rank: rank}}
}

// defaultsTable is the document that defaults are from.
const defaultsTable = "table of defaults"

// commands print a document that holds a kind's ranges, by platform.
var commands = map[string]struct{ service, pod string }{
	"gke":       both("gcloud container clusters describe CLUSTER --location LOCATION --format json"),
	"aks":       both("az aks show -g GROUP -n CLUSTER -o json"),
	"acs":       both("az aks show -g GROUP -n CLUSTER -o json"),
	"iks":       both("ibmcloud ks cluster get --cluster CLUSTER --output json"),
	"icp":       both("cat cluster/config.yaml"),
	"openshift": both("oc get networks.config.openshift.io cluster -o yaml"),
	"doks":      both("doctl kubernetes cluster get CLUSTER -o json"),
	"oke":       both("oci ce cluster get --cluster-id CLUSTER"),
	"ack":       both("aliyun cs DescribeClusterDetail --ClusterId CLUSTER"),
	"tke":       both("tccli tke DescribeClusters --ClusterIds '[\"CLUSTER\"]'"),
	"k3s":       both("kubectl get nodes -o json"),
	"rke2":      both("kubectl get nodes -o json"),
	"eks": {"aws eks describe-cluster --name CLUSTER",
		"aws ec2 describe-vpcs --vpc-ids $(aws eks describe-cluster --name CLUSTER --query cluster.resourcesVpcConfig.vpcId --output text)"},
	"microk8s":       {"cat /var/snap/microk8s/current/args/kube-apiserver", "kubectl get ippools.crd.projectcalico.org -o yaml"},
	"docker-desktop": {"kubectl -n kube-system get pods -l component=kube-apiserver -o yaml", "kubectl cluster-info dump"},
	"":               {"kubectl get servicecidrs -o yaml", "kubectl -n kube-system get pods -l component=kube-controller-manager -o yaml"},
	"minikube":       onControlPlane, "kind": onControlPlane, "kubeadm": onControlPlane, "talos": onControlPlane, "bare-metal": onControlPlane,
}

var onControlPlane = struct{ service, pod string }{
	"kubectl -n kube-system get pods -l component=kube-apiserver -o yaml",
	"kubectl -n kube-system get pods -l component=kube-controller-manager -o yaml",
}

func both(c string) struct{ service, pod string } { return struct{ service, pod string }{c, c} }

// command is the one command that supplies a kind's ranges on a platform.
func command(platform string, k Kind) string {
	c, ok := commands[platform]
	if !ok {
		c = commands[""]
	}
	if k == Service {
		return c.service
	}
	return c.pod
}
