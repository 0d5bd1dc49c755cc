package inject

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// warnNoRedirect: a pod that requests no redirect is not subject to the policy.
func warnNoRedirect(m *mutation) problem.List {
	s := m.resolved.settings
	if !m.registryOnly() || s.InterceptionMode != annotation.InterceptionNone || s.Setting("interceptionMode").Source != fromAnnotation(annotation.InterceptionMode) {
		return nil
	}
	return problem.List{problem.Bypass(annotation.Path(annotation.InterceptionMode, false), s.InterceptionMode,
		aroundPolicy+"only connections that the application makes to the sidecar go through it", "")}
}

// warnProxySettings: what annotations of the pod change in the sidecar itself, whose
// connections are not redirected.
func warnProxySettings(m *mutation) (out problem.List) {
	if !m.policed() {
		return nil
	}
	add := func(name, value, rule string) {
		out.Add(problem.Bypass(annotation.Path(name, false), problem.Clip(value, maxList), aroundPolicy+rule, "remove it"))
	}
	s, g := m.resolved.settings, &m.cfg.Values.Global
	if image, ok := m.pod.Annotations[annotation.ProxyImage]; ok && repository(s.ProxyImage) != repository(annotation.CompleteImage(g.Proxy.Image, g.Hub, g.Tag)) {
		add(annotation.ProxyImage, image, "overrides the sidecar, whose own connections are not redirected")
	}
	for _, mount := range s.VolumeMounts {
		if coversProgram(absolute(mount.MountPath)) {
			add(annotation.UserVolumeMount, mount.MountPath, "hides a part of the sidecar's program or configuration")
		}
	}
	was := m.cfg.Mesh.GetDefaultConfig()
	if address := s.ProxyConfig.GetDiscoveryAddress(); address != was.GetDiscoveryAddress() {
		add(annotation.ProxyConfig, address, "discoveryAddress: another control plane configures the sidecar")
	}
	for _, name := range slices.Sorted(maps.Keys(s.ProxyConfig.GetProxyMetadata())) {
		value := s.ProxyConfig.GetProxyMetadata()[name]
		if own, ok := was.GetProxyMetadata()[name]; decidesProgram(name) && (!ok || own != value) {
			add(annotation.ProxyConfig, name, "proxyMetadata: the variable decides what the sidecar runs")
		}
	}
	return out
}

// repository is an image without its tag and digest.
func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if at := strings.LastIndexByte(image, ':'); at > strings.LastIndexByte(image, '/') {
		return image[:at]
	}
	return image
}

// warnNames: the sidecar connects to the addresses that the resolver of its pod returns for a
// declared host.
func warnNames(m *mutation) (out problem.List) {
	if !m.policed() {
		return nil
	}
	const rule = aroundPolicy + "a declared host can have any address"
	for i, alias := range m.pod.Spec.HostAliases {
		names := problem.Clip(strings.Join(alias.Hostnames, ", "), maxList)
		out.Add(problem.Bypass(fmt.Sprintf("spec.hostAliases[%d].hostnames", i), names, rule, ""))
	}
	if dns := m.pod.Spec.DNSConfig; dns != nil && len(dns.Nameservers) > 0 {
		out.Add(problem.Bypass("spec.dnsConfig.nameservers", problem.Clip(strings.Join(dns.Nameservers, ", "), maxList), rule, ""))
	}
	return out
}
