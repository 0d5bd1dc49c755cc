package ranges

import (
	"fmt"
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// cilium reads Cilium's configuration: its key ipam names what assigns pods their
// addresses; pools of another mode are left-overs.
func cilium(r *reader, n *document.Node, base string) {
	mode := n.Get("ipam").Str()
	addGap := func(why, command string) {
		r.addGap(gap{kind: Pod, soft: true, why: why, command: command}, n.Get("ipam"), base)
	}
	switch mode {
	case "cluster-pool", "cluster-pool-v2beta":
		src := source{"Cilium cluster pool", rankPool, Complete, false}
		if !isFalse(n.Get("enable-ipv4")) {
			r.paths(Pod, src, n, base, []string{"cluster-pool-ipv4-cidr"})
		}
		if !isFalse(n.Get("enable-ipv6")) {
			r.paths(Pod, src, n, base, []string{"cluster-pool-ipv6-cidr"})
		}
	case "kubernetes":
		addGap("Cilium takes pod addresses from the nodes' podCIDRs (ipam: kubernetes); its own pools are ignored",
			"kubectl -n kube-system get pods -l component=kube-controller-manager -o yaml")
	case "multi-pool":
		addGap("Cilium's pools are objects of their own (ipam: multi-pool)", "kubectl get ciliumpodippools -o yaml")
	case "eni":
		addGap("Cilium assigns pods addresses from the VPC (ipam: eni)", "kubectl get ciliumnodes -o yaml")
		r.native("Cilium assigns pods addresses from the VPC (ipam: eni)")
	case "azure", "alibabacloud", "delegated-plugin":
		addGap("pods use addresses of the underlying network (Cilium ipam: "+mode+")", "")
		r.native("Cilium delegates pod addresses to the underlying network (ipam: " + mode + ")")
	case "":
		addGap("missing ipam mode (no key ipam in the Cilium configuration)", "kubectl -n kube-system get configmap cilium-config -o yaml")
	default:
		addGap(fmt.Sprintf("unknown Cilium ipam mode %q", problem.Short(mode)), "")
	}
}

// flannel reads flannel's net-conf.json.
func flannel(r *reader, n *document.Node, base string) {
	src := source{"flannel net-conf.json", rankPool, Complete, false}
	if !isFalse(n.Get("EnableIPv4")) {
		r.paths(Pod, src, n, base, []string{"Network"})
	}
	if isTrue(n.Get("EnableIPv6")) {
		r.paths(Pod, src, n, base, []string{"IPv6Network"})
	}
}

// cni reads what one node's plugin hands out: a part of the cluster's, if it has
// more nodes.
func cni(r *reader, n *document.Node, base string) {
	for _, p := range []string{"plugins.ipam", "ipam"} {
		r.paths(Pod, source{"CNI configuration of a node", rankSlices, Minimum, false}, n, base, []string{p + ".ranges.subnet", p + ".subnet"})
	}
}

// k0s adds the second family, if it is on.
func k0s(r *reader, n *document.Node, base string) {
	dual := n.At("spec", "network", "dualStack")
	if isTrue(dual.Get("enabled")) {
		at := join(join(join(base, "spec"), "network"), "dualStack")
		r.paths(Service, source{"k0s ClusterConfig", rankConfig, Configured, true}, dual, at, []string{"IPv6serviceCIDR"})
		r.paths(Pod, source{"k0s ClusterConfig", rankPodConfig, Configured, true}, dual, at, []string{"IPv6podCIDR"})
	}
}

// k3d reads the arguments that k3d hands to k3s servers. Without them k3s has
// its defaults.
func k3d(r *reader, n *document.Node, base string) {
	var args []found
	extra := n.At("options", "k3s", "extraArgs")
	if extra != nil {
		for i, item := range extra.Items {
			if agentsOnly(stringsOf(item.Get("nodeFilters"))) {
				continue
			}
			args = append(args, find(item.Get("arg"), "", join(base, "options.k3s.extraArgs")+index(i)+".arg")...)
		}
	}
	r.k3sArgs(args, "k3d configuration", r.place(n, base), Configured, rankConfig, rankPodConfig)
}

func agentsOnly(filters []string) bool {
	for _, f := range filters {
		if !strings.HasPrefix(f, "agent") {
			return false
		}
	}
	return len(filters) > 0
}
