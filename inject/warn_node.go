package inject

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"

	corev1 "k8s.io/api/core/v1"
)

// nodePaths are where a node has the volumes of its pods, with the sidecar's socket and token,
// and what starts containers and processes without the redirect.
var nodePaths = []string{
	"/var/lib/kubelet", "/etc/kubernetes", "/proc",
	"/run/containerd", "/run/crio", "/run/docker.sock", "/var/run/containerd", "/var/run/crio", "/var/run/docker.sock",
}

// warnHostPaths looks at the volumes of the outcome, of which a record may hide none.
func warnHostPaths(m *mutation) (out problem.List) {
	if !m.policed() {
		return nil
	}
	for i, volume := range m.tree.At("spec", "volumes").Items() {
		at := volume.At("hostPath", "path")
		if at.Text() == "" || !covers(nodePaths, absolute(at.Text())) {
			continue
		}
		name := volume.Get("name").Text()
		if own := slices.IndexFunc(m.pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name }); own >= 0 {
			i = own
		}
		out.Add(problem.Bypass(fmt.Sprintf("spec.volumes[%d].hostPath.path", i), problem.Clip(at.Text(), maxList),
			aroundPolicy+"has the volumes of the node's sidecars, or what starts containers", "use a narrower path"))
	}
	return out
}

// warnNodeRequests: the kubelet, whose connections have no sidecar, connects to the hosts of
// probes and lifecycle handlers.
func warnNodeRequests(m *mutation) (out problem.List) {
	if !m.policed() {
		return nil
	}
	for c := range m.containers() {
		for _, h := range hostsOf(c.Container) {
			if h.host == "" || isLoopback(h.host) {
				continue
			}
			out.Add(problem.Bypass(c.path(h.field), problem.Clip(h.host, maxList), aroundPolicy+"the kubelet connects to this host", "remove it"))
		}
	}
	return out
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && a.IsLoopback()
}

// nodeRequest is the host of a probe or lifecycle handler.
type nodeRequest struct{ field, host string }

func hostsOf(c *corev1.Container) (out []nodeRequest) {
	add := func(field string, get *corev1.HTTPGetAction, socket *corev1.TCPSocketAction) {
		if get != nil {
			out = append(out, nodeRequest{field + ".httpGet.host", get.Host})
		}
		if socket != nil {
			out = append(out, nodeRequest{field + ".tcpSocket.host", socket.Host})
		}
	}
	for _, p := range [...]struct {
		field string
		probe *corev1.Probe
	}{{"livenessProbe", c.LivenessProbe}, {"readinessProbe", c.ReadinessProbe}, {"startupProbe", c.StartupProbe}} {
		if p.probe != nil {
			add(p.field, p.probe.HTTPGet, p.probe.TCPSocket)
		}
	}
	if c.Lifecycle == nil {
		return out
	}
	if l := c.Lifecycle.PostStart; l != nil {
		add("lifecycle.postStart", l.HTTPGet, l.TCPSocket)
	}
	if l := c.Lifecycle.PreStop; l != nil {
		add("lifecycle.preStop", l.HTTPGet, l.TCPSocket)
	}
	return out
}
