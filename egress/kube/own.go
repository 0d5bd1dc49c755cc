package kube

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/egress"
)

// addresses of a node.
type addresses []netip.Addr

// readNode returns the addresses that pods with hostNetwork have on a node: as the
// kubelet does, the external ones only where there are no internal ones.
func readNode(n *corev1.Node) (out addresses) {
	for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
		for _, a := range n.Status.Addresses {
			if ip, err := netip.ParseAddr(a.Address); err == nil && a.Type == kind {
				out = append(out, ip.Unmap())
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// slimNode is the part of a node that is stored: its images and conditions are some
// 10 KB.
func slimNode(n *corev1.Node) *corev1.Node {
	out := &corev1.Node{}
	out.Name, out.UID, out.ResourceVersion = n.Name, n.UID, n.ResourceVersion
	out.Status.Addresses = n.Status.Addresses
	return out
}

// privateRanges are where the pods of nearly all clusters are. They stand in for
// ranges that are not found: of IPv6, pods often have public addresses.
var privateRanges = cidr.FromPrefixes(
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("::/0"))

// own are the cluster's own addresses.
type own struct {
	ranges cidr.List
	// complete: the ranges are all of the cluster's.
	complete bool
	nodes    map[netip.Addr]bool
	// nodePorts are relayed by every node, to the endpoints of a Service.
	nodePorts map[uint16]bool
	// clusterIPs are relayed to the endpoints of a Service, too: who reaches them is
	// decided for that Service, not for an endpoint with its address.
	clusterIPs map[netip.Addr]bool
}

func newOwn(ranges cidr.List, complete bool, services map[key]service, nodes map[key]addresses) *own {
	o := &own{ranges: ranges, complete: complete, nodes: map[netip.Addr]bool{}, nodePorts: map[uint16]bool{}, clusterIPs: map[netip.Addr]bool{}}
	for _, all := range nodes {
		for _, a := range all {
			o.nodes[a] = true
		}
	}
	for _, s := range services {
		for _, p := range s.nodePorts {
			o.nodePorts[p] = true
		}
		for _, a := range s.addresses {
			o.clusterIPs[a] = true
		}
	}
	return o
}

// contains reports whether an address is the cluster's own.
func (o *own) contains(a netip.Addr) bool {
	a = a.Unmap()
	return !egress.IsMetadata(a) && !o.clusterIPs[a] && (o.nodes[a] || o.ranges.Contains(a))
}

// relaysOutside reports whether connections to the Service of a slice may leave the
// cluster. Without all of the cluster's ranges a private address may be a pod's:
// otherwise no namespace would reach the Services of others.
func (o *own) relaysOutside(s *slice) bool {
	return s != nil && slices.ContainsFunc(s.endpoints, func(d egress.InClusterAddress) bool {
		if o.contains(d.Address) {
			return false
		}
		a := d.Address.Unmap()
		return o.complete || egress.IsMetadata(a) || o.clusterIPs[a] || !privateRanges.Contains(a)
	})
}

// forAll is what an endpoint that clients connect to directly opens for all namespaces;
// false: nothing. A node is opened on the ports of the slice, without those on which
// it relays to the endpoints of any Service.
func (o *own) forAll(d egress.InClusterAddress, s *slice) (egress.InClusterAddress, bool) {
	if !o.contains(d.Address) || !o.nodes[d.Address.Unmap()] {
		return d, o.contains(d.Address)
	}
	d.Ports = slices.DeleteFunc(slices.Clone(s.ports), func(p uint16) bool { return o.nodePorts[p] })
	return d, len(d.Ports) > 0
}
