package ranges

import (
	"fmt"
	"strings"
)

// configMap reads the ConfigMaps of network plugins and installers. Any other
// has nothing to say.
func (r *reader) configMap(n *node, base string) {
	name := n.at("metadata", "name").str()
	data, at := n.get("data"), join(base, "data")
	switch {
	case name == "cilium-config" || data.hasKey("ipam") && data.hasKey("cluster-pool-ipv4-cidr", "cluster-pool-ipv6-cidr"):
		cilium(r, data, at)
		return
	case strings.HasPrefix(name, "istio-sidecar-injector"):
		r.facts.Values = data.get("values").str()
		return
	case name == "aws-auth" && n.at("metadata", "namespace").str() == "kube-system":
		r.signal("eks", "ConfigMap aws-auth")
	}
	for _, key := range []string{"ClusterConfiguration", "config.conf", "net-conf.json", "install-config"} {
		if v := data.get(key); v != nil {
			r.inner(v, join(at, key))
		}
	}
}

// cilium reads Cilium's configuration: its key ipam says what gives pods their
// addresses; pools of another mode are left-overs.
func cilium(r *reader, n *node, base string) {
	mode := n.get("ipam").str()
	leave := func(why, command string) {
		r.leave(gap{kind: Pod, soft: true, why: why, command: command}, n.get("ipam"), base)
	}
	switch mode {
	case "cluster-pool", "cluster-pool-v2beta":
		src := source{"Cilium cluster pool", rankPool, Complete, false}
		if !n.get("enable-ipv4").isFalse() {
			r.paths(Pod, src, n, base, []string{"cluster-pool-ipv4-cidr"})
		}
		if !n.get("enable-ipv6").isFalse() {
			r.paths(Pod, src, n, base, []string{"cluster-pool-ipv6-cidr"})
		}
	case "kubernetes":
		leave("Cilium takes pod addresses from the nodes' podCIDRs (ipam: kubernetes); its own pools are of no effect",
			"kubectl -n kube-system get pods -l component=kube-controller-manager -o yaml")
	case "multi-pool":
		leave("Cilium's pools are objects of their own (ipam: multi-pool)", "kubectl get ciliumpodippools -o yaml")
	case "eni":
		leave("Cilium gives pods addresses of the VPC (ipam: eni)", "kubectl get ciliumnodes -o yaml")
		r.native("Cilium gives pods addresses of the VPC (ipam: eni)")
	case "azure", "alibabacloud", "delegated-plugin":
		leave("pods have addresses of the network below the cluster (Cilium ipam: "+mode+")", "")
		r.native("Cilium leaves pod addresses to the network below the cluster (ipam: " + mode + ")")
	case "":
		leave("the configuration does not say how Cilium gives addresses (no key ipam)", "kubectl -n kube-system get configmap cilium-config -o yaml")
	default:
		leave(fmt.Sprintf("Cilium's ipam mode %q is not known", clip(mode)), "")
	}
}

// flannel reads flannel's net-conf.json.
func flannel(r *reader, n *node, base string) {
	src := source{"flannel net-conf.json", rankPool, Complete, false}
	if !n.get("EnableIPv4").isFalse() {
		r.paths(Pod, src, n, base, []string{"Network"})
	}
	if n.get("EnableIPv6").isTrue() {
		r.paths(Pod, src, n, base, []string{"IPv6Network"})
	}
}

// cni reads what one node's plugin hands out: a part of the cluster's, if it has
// more nodes.
func cni(r *reader, n *node, base string) {
	for _, p := range []string{"plugins.ipam", "ipam"} {
		r.paths(Pod, source{"CNI configuration of a node", rankSlices, LowerBound, false}, n, base, []string{p + ".ranges.subnet", p + ".subnet"})
	}
}

// k0s adds the second family, if it is on.
func k0s(r *reader, n *node, base string) {
	dual := n.at("spec", "network", "dualStack")
	if dual.get("enabled").isTrue() {
		at := join(join(join(base, "spec"), "network"), "dualStack")
		r.paths(Service, source{"k0s ClusterConfig", rankConfig, Claimed, true}, dual, at, []string{"IPv6serviceCIDR"})
		r.paths(Pod, source{"k0s ClusterConfig", rankPodConfig, Claimed, true}, dual, at, []string{"IPv6podCIDR"})
	}
}

// k3d reads the arguments that k3d hands to k3s servers. Without them k3s has
// its defaults.
func k3d(r *reader, n *node, base string) {
	var args []found
	extra := n.at("options", "k3s", "extraArgs")
	if extra != nil {
		for i, item := range extra.items {
			if agentsOnly(item.get("nodeFilters").strings()) {
				continue
			}
			args = append(args, item.get("arg").find("", join(base, "options.k3s.extraArgs")+index(i)+".arg")...)
		}
	}
	r.k3sArgs(args, "k3d configuration", r.place(n, base), Claimed, rankConfig, rankPodConfig)
}

func agentsOnly(filters []string) bool {
	for _, f := range filters {
		if !strings.HasPrefix(f, "agent") {
			return false
		}
	}
	return len(filters) > 0
}
