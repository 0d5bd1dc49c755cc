package inject

import (
	"fmt"
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// warnings is what a user should know about an injected pod although nothing is
// wrong enough to refuse it. The texts are whole sentences with the way out.
func (m *mutation) warnings(odd problem.List) []string {
	out := annotationWarnings(odd)
	for _, check := range []func(*mutation) []string{
		warnEarlyInit, warnProxyIdentity, warnJob, warnHold, warnDNS, warnHoles, warnUncaptured, warnFamilies, warnLeftOut, warnOpenShift, warnStatus,
	} {
		out = append(out, check(m)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func annotationWarnings(odd problem.List) []string {
	var out []string
	for _, p := range odd {
		out = append(out, p.Error())
	}
	return out
}

// skipWarnings: a pod that is not injected has no use for warnings about
// settings, but junk in the very switch may be why it is not injected.
func skipWarnings(odd problem.List) []string {
	var out []string
	for _, p := range odd {
		if p.Path == annotation.Path(annotation.Inject, true) || p.Path == annotation.Path(annotation.Inject, false) {
			out = append(out, p.Error())
		}
	}
	return out
}

func warnEarlyInit(m *mutation) []string {
	if m.resolved.settings.NativeSidecar || m.resolved.settings.InterceptionMode == "NONE" {
		return nil
	}
	var names []string
	for c := range m.pod.Spec.InitContainers {
		if name := m.pod.Spec.InitContainers[c].Name; !m.injects("initContainers", name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("init containers %s run before the sidecar: their traffic is neither captured nor controlled; a native sidecar (Kubernetes 1.29 or newer) covers them", strings.Join(names, ", "))}
}

// warnProxyIdentity: the redirect leaves the proxy's own uid and gid alone, so
// an application that has them goes around the sidecar.
func warnProxyIdentity(m *mutation) []string {
	s := m.resolved.settings
	var names []string
	for _, list := range [][]corev1.Container{m.pod.Spec.InitContainers, m.pod.Spec.Containers} {
		for c := range list {
			if uid, gid := runsAs(m.pod, &list[c]); !m.user.has(list[c].Name) && (same(uid, s.ProxyUID) || same(gid, s.ProxyGID)) {
				names = append(names, list[c].Name)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("container %s runs with the sidecar's uid or gid (%d, %d): its traffic bypasses the sidecar; use another runAsUser and runAsGroup", strings.Join(names, ", "), s.ProxyUID, s.ProxyGID)}
}

func runsAs(pod *corev1.Pod, c *corev1.Container) (uid, gid *int64) {
	if p := pod.Spec.SecurityContext; p != nil {
		uid, gid = p.RunAsUser, p.RunAsGroup
	}
	if own := c.SecurityContext; own != nil {
		if own.RunAsUser != nil {
			uid = own.RunAsUser
		}
		if own.RunAsGroup != nil {
			gid = own.RunAsGroup
		}
	}
	return uid, gid
}

func same(id *int64, other int64) bool { return id != nil && *id == other }

func warnJob(m *mutation) []string {
	if m.resolved.settings.NativeSidecar {
		return nil
	}
	if owner := ownerOf(m.pod, m.request); owner.Kind != "Job" && owner.Kind != "CronJob" {
		return nil
	}
	return []string{"the job's pod does not complete: a classic sidecar keeps running after the job's containers end; use a native sidecar (Kubernetes 1.29 or newer, annotation sidecar.istio.io/nativeSidecar)"}
}

func warnHold(m *mutation) []string {
	if s := m.resolved.settings; !s.HoldApp || s.NativeSidecar {
		return nil
	}
	return []string{"holdApplicationUntilProxyStarts only puts the classic sidecar first: the application may still start before it is ready; a native sidecar holds it"}
}

func warnDNS(m *mutation) []string {
	if m.pod.Spec.DNSPolicy != corev1.DNSNone {
		return nil
	}
	return []string{"dnsPolicy None: the sidecar finds its control plane by a cluster name; the nameservers in dnsConfig must resolve it, or the pod never becomes ready"}
}

// warnHoles: what the redirect leaves alone, no policy reaches.
func warnHoles(m *mutation) []string {
	if m.cfg.Mesh.GetOutboundTrafficPolicy().GetMode() != meshconfig.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY {
		return nil
	}
	s := m.resolved.settings
	var out []string
	hole := func(what, value string) {
		setting := s.Setting(what)
		out = append(out, fmt.Sprintf("%s %q (%s) opens a hole in REGISTRY_ONLY: this traffic goes around the sidecar, whatever ServiceEntries say", what, shorten(value), setting.Source))
	}
	if !s.ExcludeIPRanges.IsEmpty() {
		hole("excludeOutboundIPRanges", s.ExcludeIPRanges.String())
	}
	if !s.IncludeIPRanges.IsWildcard() {
		hole("includeOutboundIPRanges", s.IncludeIPRanges.String())
	}
	if ports := s.ExcludePorts.String(); ports != "" {
		hole("excludeOutboundPorts", ports)
	}
	return out
}

// warnUncaptured: where nothing is redirected, what the pod says of the redirect
// does nothing.
func warnUncaptured(m *mutation) []string {
	s := m.resolved.settings
	if s.InterceptionMode != annotation.InterceptionNone {
		return nil
	}
	var out []string
	for _, name := range redirectAnnotations {
		if _, ok := m.pod.Annotations[name]; ok {
			out = append(out, fmt.Sprintf("annotation %q has no effect: interceptionMode is NONE (%s), so no traffic is redirected; remove one of the two", name, s.Setting("interceptionMode").Source))
		}
	}
	return out
}

// redirectAnnotations are what a pod says of the redirect.
var redirectAnnotations = [...]string{
	annotation.IncludeOutboundIPRanges, annotation.ExcludeOutboundIPRanges,
	annotation.IncludeOutboundPorts, annotation.ExcludeOutboundPorts, annotation.ExcludeInterfaces,
}

// warnFamilies: annotation.Check has warned already where the list is the
// pod's own.
func warnFamilies(m *mutation) []string {
	s := m.resolved.settings
	have, missing, ok := s.IncludeIPRanges.MissingFamily()
	if !ok || s.Setting("includeOutboundIPRanges").Source != fromValues(valuesIncludeIP) {
		return nil
	}
	return []string{fmt.Sprintf("includeOutboundIPRanges %q has %s ranges only: all %s traffic bypasses the sidecar; add %s ranges if the cluster has them", shorten(s.IncludeIPRanges.String()), have, missing, missing)}
}

// warnLeftOut: the configuration's own list is judged when it comes into force.
func warnLeftOut(m *mutation) []string {
	s := m.resolved.settings
	if s.InterceptionMode == annotation.InterceptionNone {
		return nil
	}
	out := slices.Clone(s.fallbacks)
	for _, w := range s.leftOut {
		out = append(out, fmt.Sprintf("annotation %q %s", annotation.IncludeOutboundIPRanges, w))
	}
	return out
}

func warnOpenShift(m *mutation) []string {
	_, known := m.request.NamespaceAnnotations[annotation.OpenShiftUIDRange]
	if m.cfg.Values.Global.Platform != "openshift" || known {
		return nil
	}
	return []string{"global.platform is openshift, but the namespace's uid range is not known here: the sidecar gets uid 1337, which the restricted SCC refuses"}
}

func warnStatus(m *mutation) []string {
	if m.prior != nil || m.incoming.At("metadata", "annotations", annotation.SidecarStatus) == nil {
		return nil
	}
	return []string{"annotation " + annotation.SidecarStatus + " was not written by the injector and could not be read: it was replaced; do not set it"}
}

// shorten keeps a list of many ranges from filling a warning.
func shorten(value string) string {
	const most = 60
	if len(value) <= most {
		return value
	}
	return value[:most] + "..."
}
