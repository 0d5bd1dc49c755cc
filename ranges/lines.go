package ranges

import (
	"github.com/outrider-mesh/outrider/internal/document"
)

// lineKey is a key that means the same wherever a line has it, because one tool
// alone uses it, or all that use it mean the same.
type lineKey struct {
	kind     Kind
	name     string // of the source
	platform string
	provider bool
	part     bool // each line is one part of the range
	lower    bool // and together they need not be all
}

var lineKeys = map[string]lineKey{
	"servicesIpv4Cidr":         {kind: Service, name: "gcloud container clusters describe", platform: "gke", provider: true},
	"servicesIpv4CidrBlock":    {kind: Service, name: "gcloud container clusters describe", platform: "gke", provider: true},
	"servicesIpv6CidrBlock":    {kind: Service, name: "gcloud container clusters describe", platform: "gke", provider: true},
	"clusterIpv4Cidr":          {kind: Pod, name: "gcloud container clusters describe", platform: "gke", provider: true},
	"clusterIpv4CidrBlock":     {kind: Pod, name: "gcloud container clusters describe", platform: "gke", provider: true},
	"subnetIpv6CidrBlock":      {kind: Pod, name: "gcloud container clusters describe", platform: "gke", provider: true},
	"podIpv4CidrBlock":         {kind: Pod, name: "gcloud container clusters describe", platform: "gke", provider: true, part: true},
	"serviceCidr":              {kind: Service, name: "az aks show", platform: "aks", provider: true},
	"serviceCidrs":             {kind: Service, name: "az aks show", platform: "aks", provider: true},
	"podCidr":                  {kind: Pod, name: "az aks show", platform: "aks", provider: true},
	"podCidrs":                 {kind: Pod, name: "az aks show", platform: "aks", provider: true},
	"serviceIpv4Cidr":          {kind: Service, name: "aws eks describe-cluster", platform: "eks", provider: true},
	"serviceIpv6Cidr":          {kind: Service, name: "aws eks describe-cluster", platform: "eks", provider: true},
	"serviceIPv4CIDR":          {kind: Service, name: "eksctl ClusterConfig", platform: "eks"},
	"serviceSubnet":            {kind: Service, name: "line serviceSubnet"},
	"podSubnet":                {kind: Pod, name: "line podSubnet"},
	"serviceSubnets":           {kind: Service, name: "Talos machine configuration", platform: "talos"},
	"podSubnets":               {kind: Pod, name: "Talos machine configuration", platform: "talos"},
	"Service Subnet":           {kind: Service, name: "ibmcloud ks cluster get", platform: "iks", provider: true},
	"Pod Subnet":               {kind: Pod, name: "ibmcloud ks cluster get", platform: "iks", provider: true},
	"service_cluster_ip_range": {kind: Service, name: "IBM Cloud Private config.yaml", platform: "icp"},
	"network_cidr":             {kind: Pod, name: "IBM Cloud Private config.yaml", platform: "icp"},
	"serviceNetwork":           {kind: Service, name: "line serviceNetwork", platform: "openshift"},
	"service-cidr":             {kind: Service, name: "k3s/RKE2 config.yaml", platform: "k3s-config"},
	"cluster-cidr":             {kind: Pod, name: "k3s/RKE2 config.yaml", platform: "k3s-config"},
	"services-cidr":            {kind: Service, name: "oci ce cluster get", platform: "oke", provider: true},
	"pods-cidr":                {kind: Pod, name: "oci ce cluster get", platform: "oke", provider: true},
	"service_subnet":           {kind: Service, name: "doctl kubernetes cluster get", platform: "doks", provider: true},
	"cluster_subnet":           {kind: Pod, name: "doctl kubernetes cluster get", platform: "doks", provider: true},
	"ServiceCIDR":              {kind: Service, name: "line ServiceCIDR", provider: true},
	"ClusterCIDR":              {kind: Pod, name: "tccli tke DescribeClusters", platform: "tke", provider: true},
	"service_cidr":             {kind: Service, name: "ACK cluster", platform: "ack"},
	"container_cidr":           {kind: Pod, name: "ACK cluster", platform: "ack"},
	"clusterSubnet":            {kind: Pod, name: "acs-engine apimodel", platform: "acs"},
	"clusterCIDR":              {kind: Pod, name: "kube-proxy clusterCIDR", part: true},
	"podCIDR":                  {kind: Pod, name: "node podCIDRs", part: true, lower: true},
	"podCIDRs":                 {kind: Pod, name: "node podCIDRs", part: true, lower: true},
	"PodCIDR":                  {kind: Pod, name: "node podCIDRs", part: true, lower: true},
	"PodCIDRs":                 {kind: Pod, name: "node podCIDRs", part: true, lower: true},
}

func (k lineKey) source() source {
	s := source{k.name, rankConfig, Configured, !k.part}
	if k.kind == Pod {
		s.rank = rankPodConfig
	}
	switch {
	case k.lower:
		s.rank, s.grade = rankSlices, Minimum
	case k.provider:
		s.rank, s.grade = rankProvider, Complete
	case k.name == "kube-proxy clusterCIDR":
		s.rank = rankKubeProxy
	}
	return s
}

// keys reads a mapping of scalars by its keys: a part of a larger document.
func (r *reader) keys(n *document.Node, base string) bool {
	known := false
	for _, f := range n.Fields {
		k, ok := lineKeys[f.Name]
		if !ok {
			continue
		}
		known = true
		for _, v := range find(f.Value, "", join(base, f.Name)) {
			r.line(k, v)
		}
	}
	return known
}

func (r *reader) line(k lineKey, f found) {
	if k.platform != "" {
		r.signal(k.platform, k.name)
	}
	before := len(r.data.Evidence)
	r.take(k.kind, k.source(), f)
	if k.lower {
		for _, e := range r.data.Evidence[before:] {
			r.data.NodeCIDR = append(r.data.NodeCIDR, e.Ranges.Prefixes()...)
		}
	}
}
