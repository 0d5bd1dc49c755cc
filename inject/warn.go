package inject

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/problem"

	corev1 "k8s.io/api/core/v1"
)

// warnings is what a user should know about an injected pod although nothing is
// wrong enough to reject it.
func (m *mutation) warnings(found problem.List) problem.List {
	out := slices.DeleteFunc(slices.Clone(found), m.readByTemplate) // of annotation.Check
	for _, check := range []func(*mutation) problem.List{
		warnNoProxy, warnNoRedirect, warnBypass, warnOverrides, warnProxySettings, warnNames, warnHostPaths, warnNodeRequests, warnPowers, warnNamespaces, warnGroups, warnOtherMeshes, warnPorts, warnForeignImage, warnEnvoyVersion, warnRevision, warnEarlyInit, warnProxyIdentity, warnJob, warnHold, warnDNS, warnUncaptured, warnOpenShift, warnStatus, warnNotes,
	} {
		out = append(out, check(m)...)
	}
	return out.WorstFirst()
}

// readByTemplate reports that a warning is about an annotation or label that has no
// effect by itself, and that one of the pod's templates reads it nevertheless.
func (m *mutation) readByTemplate(p problem.Problem) bool {
	_, name, ok := strings.Cut(p.Path, " ")
	if !strings.HasPrefix(p.Rule, "no effect") || !ok {
		return false
	}
	if name == annotation.ProxyConfig {
		name = "JSON .ProxyConfig" // as a whole, for an agent
	}
	return slices.ContainsFunc(m.resolved.settings.Templates, func(t string) bool { return m.templates[t].reads(name) })
}

// warning is one warning as a list.
func warning(path, rule, fix string) problem.List {
	return problem.List{problem.Invalid(path, "", rule, fix).AsWarning()}
}

// skipWarnings: warnings about settings do not matter for a pod that is not
// injected, but an invalid sidecar.istio.io/inject may be why it is not.
func skipWarnings(found problem.List) problem.List {
	var out problem.List
	for _, p := range found {
		if p.Path == annotation.Path(annotation.Inject, true) || p.Path == annotation.Path(annotation.Inject, false) {
			out.Add(p)
		}
	}
	return out
}

// warnNoProxy: a pod that requests no template expects the sidecar.
func warnNoProxy(m *mutation) problem.List {
	if m.injects("containers", proxyContainerName) || m.injects("initContainers", proxyContainerName) {
		return nil
	}
	names := strings.Join(m.resolved.settings.Templates, ", ")
	if _, requested := m.pod.Annotations[annotation.InjectTemplates]; requested {
		if !m.registryOnly() {
			return nil
		}
		return problem.List{problem.Bypass(annotation.Path(annotation.InjectTemplates, false), problem.Clip(names, maxList), aroundPolicy+"the pod has no sidecar", "")}
	}
	return warning("", fmt.Sprintf("template %s adds no container %s: the pod has no sidecar, and nothing controls its traffic", problem.Short(names), proxyContainerName),
		"add the container to the template, or set defaultTemplates to one that has it")
}

func warnEarlyInit(m *mutation) problem.List {
	if m.resolved.settings.NativeSidecar || m.resolved.settings.InterceptionMode == annotation.InterceptionNone {
		return nil
	}
	var names []string
	for c := range m.pod.Spec.InitContainers {
		name := m.pod.Spec.InitContainers[c].Name
		if found, _ := m.brings(name); !found {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return warning("", fmt.Sprintf("init containers %s run before the sidecar: their traffic is neither captured nor controlled", strings.Join(names, ", ")),
		"use native sidecars (Kubernetes 1.29 or newer)")
}

// warnProxyIdentity: the redirect exempts the proxy's uid and gid. That is used on purpose
// for init containers, which a classic sidecar would leave without network.
func warnProxyIdentity(m *mutation) problem.List {
	s := m.resolved.settings
	if !s.NativeSidecar || !m.redirects() {
		return nil
	}
	var names []string
	group := m.exemptsGroup(s.ProxyGID)
	for c := range m.containers() {
		if found, _ := m.brings(c.Name); found || c.lasts() {
			continue
		}
		if uid, gid := runsAs(m.pod, c.Container); same(uid, s.ProxyUID) || group && same(gid, s.ProxyGID) {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return warning("", fmt.Sprintf("init container %s runs with what the redirect exempts (%s): its traffic bypasses the sidecar", problem.Clip(strings.Join(names, ", "), maxList), m.exempts()),
		"use another runAsUser and runAsGroup")
}

func warnJob(m *mutation) problem.List {
	if m.resolved.settings.NativeSidecar {
		return nil
	}
	if owner := ownerOf(m.pod, m.request); owner.Kind != "Job" && owner.Kind != "CronJob" {
		return nil
	}
	return warning("", "the job's pod does not complete: a classic sidecar keeps running after the job's containers exit",
		"use a native sidecar (Kubernetes 1.29 or newer, annotation sidecar.istio.io/nativeSidecar)")
}

func warnHold(m *mutation) problem.List {
	if s := m.resolved.settings; !s.HoldApp || s.NativeSidecar {
		return nil
	}
	return warning("holdApplicationUntilProxyStarts", "does not guarantee readiness without native sidecars: the application may start before the sidecar is ready",
		"use a native sidecar")
}

func warnDNS(m *mutation) problem.List {
	if m.pod.Spec.DNSPolicy != corev1.DNSNone {
		return nil
	}
	return warning("spec.dnsPolicy", "None, but the control plane is resolved through cluster DNS: unless the nameservers in dnsConfig resolve it, the pod never becomes ready", "")
}

// warnBypass: the warnings of the settings.
func warnBypass(m *mutation) problem.List {
	return slices.Concat(m.resolved.settings.bypasses, m.resolved.settings.unpoliced)
}

// warnUncaptured: where nothing is redirected, the pod's annotations about the
// redirect have no effect.
func warnUncaptured(m *mutation) problem.List {
	s := m.resolved.settings
	if s.InterceptionMode != annotation.InterceptionNone {
		return nil
	}
	var out problem.List
	for _, name := range redirectAnnotations {
		if _, ok := m.pod.Annotations[name]; ok {
			why := fmt.Sprintf("interceptionMode is NONE (%s), so no traffic is redirected", s.Setting("interceptionMode").Source)
			out.Add(problem.NoEffect(annotation.Path(name, false), "", why, "remove one of the two"))
		}
	}
	return out
}

// redirectAnnotations are a pod's annotations about the redirect.
var redirectAnnotations = [...]string{
	annotation.IncludeOutboundIPRanges, annotation.ExcludeOutboundIPRanges,
	annotation.IncludeOutboundPorts, annotation.ExcludeOutboundPorts, annotation.ExcludeInterfaces,
}

func warnNotes(m *mutation) problem.List { return m.resolved.settings.notes }

func warnOpenShift(m *mutation) problem.List {
	_, known := m.request.NamespaceAnnotations[annotation.OpenShiftUIDRange]
	if m.cfg.Values.Global.Platform != "openshift" || known {
		return nil
	}
	return warning(valuesPlatform, "openshift, but the namespace's uid range is unknown here: the sidecar gets uid 1337, which the restricted SCC rejects", "")
}

func warnStatus(m *mutation) problem.List {
	if m.prior != nil || m.incoming.At("metadata", "annotations", annotation.SidecarStatus) == nil {
		return nil
	}
	return warning(annotation.Path(annotation.SidecarStatus, false), "invalid value replaced; reserved for the injector", "")
}
