package inject

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/problem"

	corev1 "k8s.io/api/core/v1"
)

// policed reports whether the redirect of the pod is what REGISTRY_ONLY depends on.
func (m *mutation) policed() bool { return m.registryOnly() && m.redirects() }

const aroundPolicy = "bypasses REGISTRY_ONLY: "

// warnOverrides: what runs in the injected containers differs from the configuration.
func warnOverrides(m *mutation) (out problem.List) {
	if !m.redirects() {
		return nil
	}
	c := m.changed()
	add := func(name string, fields []string, rule, fix string) {
		if len(fields) == 0 {
			return
		}
		p := problem.Bypass(m.pathOf(name, fields[0]), "", rule, fix)
		p.Value = strconv.Quote(strings.Join(fields, ", "))
		out.Add(p)
	}
	add(initContainerName, c.init, "overrides the injected init container: what the redirect captures is unknown", "remove it, or use the annotations for ranges and ports")
	if m.registryOnly() {
		add(proxyContainerName, c.proxy, aroundPolicy+"overrides the sidecar, whose own connections are not redirected", "remove it")
	}
	return out
}

// power is what lets a container evade the redirect.
type power struct {
	field string // of its security context
	value string
	what  string
}

// powers of a container that the pod asks for. What the image or the runtime's defaults add
// is not known here, and not the choice of the pod's author.
func powers(pod *corev1.PodSpec, s *corev1.SecurityContext, seesSidecar bool) (out []power) {
	if s == nil {
		s = &corev1.SecurityContext{}
	}
	if s.Privileged != nil && *s.Privileged {
		return []power{{"privileged", "true", "can remove the redirect, and enter the sidecar"}}
	}
	var added, dropped []string
	if s.Capabilities != nil {
		added, dropped = capabilities(s.Capabilities.Add), capabilities(s.Capabilities.Drop)
	}
	for _, name := range added {
		if what := evading[name]; what != "" && (name != "SYS_PTRACE" || seesSidecar) {
			out = append(out, power{"capabilities.add", strconv.Quote(name), what})
		}
	}
	uid := s.RunAsUser
	if uid == nil && pod.SecurityContext != nil {
		uid = pod.SecurityContext.RunAsUser
	}
	if slices.Contains(added, "ALL") || !same(uid, 0) {
		return out
	}
	drops := func(name string) bool { return slices.Contains(dropped, name) || slices.Contains(dropped, "ALL") }
	escalates := s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation
	switch {
	case !drops("SETUID") || !drops("NET_RAW"):
		out = append(out, power{"runAsUser", "0", "has SETUID and NET_RAW by default, and can take the sidecar's uid"})
	case escalates && (!drops("CHOWN") || slices.Contains(added, "CHOWN")):
		out = append(out, power{"runAsUser", "0", "has CHOWN, and can take the sidecar's uid by a program with the set-user-ID bit"})
	}
	return out
}

// seesProcesses reports whether the containers of a pod see each other's processes.
func seesProcesses(pod *corev1.PodSpec) bool {
	return pod.HostPID || pod.ShareProcessNamespace != nil && *pod.ShareProcessNamespace
}

// evading are the capabilities with which a program gets around the redirect.
var evading = map[string]string{
	"ALL":        "can remove the redirect",
	"NET_ADMIN":  "can remove the redirect",
	"SYS_ADMIN":  "can enter the sidecar",
	"SYS_PTRACE": "can control the sidecar, whose processes it sees",
	"SYS_MODULE": "can remove the redirect",
	"BPF":        "can evade the redirect",
	"NET_RAW":    "can send packets that the redirect does not see",
	"SETUID":     "can take the sidecar's uid, which the redirect exempts",
	"SETGID":     "", // the redirect exempts no group, unless the pod asks for it
}

// capabilities by the names of Kubernetes; runtimes accept the kernel's, too.
func capabilities(list []corev1.Capability) (names []string) {
	for _, c := range list {
		names = append(names, strings.TrimPrefix(strings.ToUpper(string(c)), "CAP_"))
	}
	return names
}

// warnPowers: one warning for each power, with the containers that have it.
func warnPowers(m *mutation) (out problem.List) {
	if !m.policed() {
		return nil
	}
	type found struct {
		power
		path  string
		names []string
	}
	var all []*found
	for c := range m.containers() {
		if c.Name == initContainerName && m.user.has(c.Name) {
			continue // it installs the redirect
		}
		for _, p := range powers(&m.pod.Spec, c.SecurityContext, seesProcesses(&m.pod.Spec)) {
			i := slices.IndexFunc(all, func(f *found) bool { return f.power == p })
			if i < 0 {
				all, i = append(all, &found{power: p, path: c.path("securityContext." + p.field)}), len(all)
			}
			all[i].names = append(all[i].names, c.Name)
		}
	}
	for _, f := range all {
		fix := "remove it"
		if f.field == "runAsUser" {
			fix = "set capabilities: {drop: [ALL]}, or runAsNonRoot"
		}
		p := problem.Bypass(f.path, "", fmt.Sprintf("%scontainer %s %s", aroundPolicy, problem.Clip(strings.Join(f.names, ", "), maxList), f.what), fix)
		p.Value = f.value
		out.Add(p)
	}
	return out
}

// warnNamespaces: containers that see the sidecar's processes can stop them or, with some
// privileges, control them.
func warnNamespaces(m *mutation) (out problem.List) {
	if !m.policed() {
		return nil
	}
	add := func(path, rule string) {
		p := problem.Bypass(path, "", rule, "remove it")
		p.Value = "true"
		out.Add(p)
	}
	if m.pod.Spec.HostPID {
		add("spec.hostPID", aroundPolicy+"with root, its containers can enter the processes of the node and of the sidecar")
	}
	if share := m.pod.Spec.ShareProcessNamespace; share != nil && *share {
		add("spec.shareProcessNamespace", aroundPolicy+"containers with root can stop the sidecar, and with SYS_PTRACE control it")
	}
	return out
}

// warnGroups: where the pod asks to exempt the sidecar's group, every container with it as a
// supplemental one can start a program in it.
func warnGroups(m *mutation) (out problem.List) {
	s := m.pod.Spec.SecurityContext
	gid := m.resolved.settings.ProxyGID
	if s == nil || !m.redirects() || !m.exemptsGroup(gid) {
		return nil
	}
	fix := `use another gid, or pass -g "" to istio-init`
	if m.resolved.settings.ExemptGID {
		fix = "use another gid, or remove runAsGroup of container istio-proxy"
	}
	add := func(path string) {
		p := problem.Bypass(path, "", "the sidecar's gid, which the redirect exempts: a program with the set-group-ID bit bypasses the sidecar", fix)
		p.Value = formatInt(gid)
		out.Add(p)
	}
	if same(s.FSGroup, gid) {
		add("spec.securityContext.fsGroup")
	}
	if i := slices.Index(s.SupplementalGroups, gid); i >= 0 {
		add(fmt.Sprintf("spec.securityContext.supplementalGroups[%d]", i))
	}
	return out
}

// warnSkipped: a pod that is skipped at its own request, or because of one of its fields, is
// not subject to the policy.
func (i *Injector) warnSkipped(pod *corev1.Pod, d Decision) problem.List {
	if !i.registryOnly() {
		return nil
	}
	at, value := "", ""
	switch d.Reason {
	case ReasonHostNetwork:
		at, value = "spec.hostNetwork", "true"
	case ReasonWindows:
		at = windowsBy(&pod.Spec)
	case ReasonLabelFalse:
		at, value = annotation.Path(annotation.Inject, true), `"false"`
	case ReasonAnnotationFalse:
		at, value = annotation.Path(annotation.Inject, false), `"false"`
	default:
		return nil // the administrator's decision
	}
	p := problem.Bypass(at, "", aroundPolicy+"the pod has no sidecar", "")
	p.Value = value
	return problem.List{p}
}
