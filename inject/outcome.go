package inject

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/jsontree"
	"github.com/outrider-mesh/outrider/internal/problem"

	corev1 "k8s.io/api/core/v1"
)

// checkOutcome rejects a pod that the API server or the kubelet would reject because of
// what is injected, or whose applications the redirect would exempt: the server's message
// would be about parts that the pod's author did not write.
func (m *mutation) checkOutcome() error {
	m.checkIdentity()
	others := len(m.problems)
	m.checkLimits()
	limits := len(m.problems) - others
	m.checkPrivateVolumes()
	if !m.again { // what others have added since then is theirs
		m.checkApplication()
		m.checkVolumes()
		m.checkContainers()
	}
	switch len(m.problems) {
	case 0:
		return nil
	case limits:
		return reject(RejectedAnnotation, m.problems...)
	}
	return reject(RejectedMerge, m.problems...)
}

// checkIdentity compares the uid and gid that the redirect exempts with those of the
// containers: no application may have them, and the sidecar must have one.
func (m *mutation) checkIdentity() {
	if !m.redirects() {
		return
	}
	s := m.resolved.settings
	group := m.exemptsGroup(s.ProxyGID)
	exempted := map[string][]string{} // path: names of containers
	pod := m.tree.At("spec", "securityContext")
	for _, list := range [...]string{"containers", "initContainers"} {
		for _, item := range m.tree.At("spec", list).Items() {
			name := item.Get("name").Text()
			if list == "initContainers" && item.Get("restartPolicy").Text() != string(corev1.ContainerRestartPolicyAlways) {
				continue
			}
			own := item.Get("securityContext")
			if found, _ := m.brings(name); found {
				if name == proxyContainerName {
					m.checkProxyIdentity(own, pod, group)
				}
				continue
			}
			for _, id := range [...]struct {
				field   string
				exempt  int64
				applies bool
			}{{"runAsUser", s.ProxyUID, true}, {"runAsGroup", s.ProxyGID, group}} {
				if !id.applies {
					continue
				}
				node, ofPod := own.Get(id.field), false
				if node.Kind() != jsontree.Scalar {
					node, ofPod = pod.Get(id.field), true
				}
				if node.Kind() != jsontree.Scalar || node.JSON() != formatInt(id.exempt) {
					continue
				}
				path := "spec.securityContext." + id.field
				if !ofPod {
					path = m.pathOf(name, "securityContext."+id.field)
				}
				exempted[path] = append(exempted[path], name)
			}
		}
	}
	for _, path := range sortedKeys(exempted) {
		m.problems.Add(m.exempted(path, exempted[path]))
	}
}

// exempted is the problem of applications with an id that the redirect exempts. The path
// is that of the field that is to be changed.
func (m *mutation) exempted(path string, names []string) problem.Problem {
	s := m.resolved.settings
	what, setting, field := "uid", "proxyUID", "runAsUser"
	if strings.HasSuffix(path, "runAsGroup") {
		what, setting, field = "gid", "proxyGID", "runAsGroup"
	}
	value := s.Setting(setting)
	who := "container " + problem.Clip(strings.Join(names, ", "), maxList)
	var p problem.Problem
	if value.Source == SourceContainer {
		p = problem.Invalid(m.pathOf(proxyContainerName, "securityContext."+field), "",
			fmt.Sprintf("%s has this %s too: the redirect exempts it, so that the container would bypass the sidecar", who, what), "use a "+what+" that no other container has, or remove it")
	} else {
		p = problem.Invalid(path, "",
			fmt.Sprintf("the sidecar's %s (%s), which the redirect exempts: %s would bypass the sidecar", what, value.Source, who),
			fmt.Sprintf("use another %s, or set another one for the sidecar in a container istio-proxy with image auto (securityContext.%s)", field, field))
	}
	p.Value = value.Value
	return p
}

// checkProxyIdentity: connections of a sidecar that the redirect does not exempt would
// be redirected to the sidecar.
func (m *mutation) checkProxyIdentity(own, pod *jsontree.Node, group bool) {
	s := m.resolved.settings
	id := func(field string) string {
		for _, n := range []*jsontree.Node{own.Get(field), pod.Get(field)} {
			if n.Kind() == jsontree.Scalar {
				return n.JSON()
			}
		}
		return ""
	}
	uid, gid := id("runAsUser"), id("runAsGroup")
	if uid == "" || uid == formatInt(s.ProxyUID) || group && gid == formatInt(s.ProxyGID) || len(m.problems) > 0 {
		return
	}
	p := problem.Invalid("injected container istio-proxy: securityContext.runAsUser", "",
		"the redirect exempts "+m.exempts()+" only, and would capture the sidecar's own connections",
		"use {{ .ProxyUID }} in the template, or set the uid in a container istio-proxy of the pod")
	p.Value = uid
	m.problems.Add(p)
}

// pathOf is the path of a field of a container of the user's pod.
func (m *mutation) pathOf(name, field string) string {
	if c, ok := m.container(name); ok {
		return c.path(field)
	}
	return "container " + problem.Quote(name) + ": " + field
}

// checkApplication: the API server requires an ordinary container, which the pod's own
// istio-proxy is not where the sidecar is a native one.
func (m *mutation) checkApplication() {
	if len(m.tree.At("spec", "containers").Items()) == 0 && len(m.misplaced) == 0 && len(m.user.nodes) > 0 {
		m.problems.Add(problem.Invalid("spec.containers", "", "no container but "+strings.Join(m.user.names(), ", ")+", which runs in initContainers, as a native sidecar",
			"add the application's container, or set the annotation "+annotation.NativeSidecar+`: "false"`))
	}
}

// checkVolumes: strategic merge patch joins two volumes of a name, and the API server
// rejects a volume with two sources. Two of one source would be one volume with the
// sidecar's content.
func (m *mutation) checkVolumes() {
	had, has := m.base.At("spec", "volumes").Items(), m.tree.At("spec", "volumes").Items()
	for _, o := range m.overlays {
		names := o.names["volumes"]
		for n, name := range names {
			if i := slices.Index(m.request.Claims, name); i >= 0 {
				m.claimProblem(i, name)
				continue
			}
			key := jsontree.NewString(name)
			before, after := indexBy(had, "name", key), indexBy(has, "name", key)
			if after < 0 {
				continue
			}
			switch {
			case slices.Contains(names[:n], name):
				m.volumeProblem(name, -1)
			case before < 0 || jsontree.Equal(had[before], has[after]):
			case sourcesOf(has[after]) > 1, m.mountedByInjected(name):
				m.volumeProblem(name, before)
			}
		}
	}
}

// privateVolumes are the built-in template's with what only the sidecar may have: its token
// for the control plane, and the socket that stops, drains and reconfigures it.
var privateVolumes = [...]string{"outrider-xds", "outrider-admin"}

// checkPrivateVolumes: a container may mount any volume of its pod, also one that the
// templates add.
func (m *mutation) checkPrivateVolumes() {
	for c := range m.containers() {
		if found, _ := m.brings(c.Name); found {
			continue
		}
		for i := range c.VolumeMounts {
			name := c.VolumeMounts[i].Name
			if slices.Contains(privateVolumes[:], name) && m.injects("volumes", name) {
				m.problems.Add(problem.Invalid(c.path(fmt.Sprintf("volumeMounts[%d].name", i)), name, "a volume of the sidecar, which no other container may mount", "remove the mount"))
			}
		}
	}
}

// sourcesOf counts the sources of a volume: all its keys but the name.
func sourcesOf(volume *jsontree.Node) (n int) {
	for _, m := range volume.Members() {
		if m.Key != "name" && m.Value.Kind() != jsontree.Null {
			n++
		}
	}
	return n
}

func (m *mutation) mountedByInjected(volume string) bool {
	for item := range m.injectedItems() {
		for _, mount := range item.Get("volumeMounts").Items() {
			if mount.Get("name").Text() == volume {
				return true
			}
		}
	}
	return false
}

// volumeProblem is a duplicate volume; at is the index of the pod's own, -1 for none.
func (m *mutation) volumeProblem(name string, at int) {
	annotated := slices.ContainsFunc(m.resolved.settings.Volumes, func(v corev1.Volume) bool { return v.Name == name })
	path := fmt.Sprintf("spec.volumes[%d].name", at)
	switch {
	case annotated && at >= 0:
		m.problems.Add(problem.Invalid(annotation.Path(annotation.UserVolume, false), name, "the pod has another volume of this name ("+path+")", "rename one of the two, or remove the one in the annotation to mount the pod's"))
	case annotated:
		m.problems.Add(problem.Invalid(annotation.Path(annotation.UserVolume, false), name, "the name of a volume of the sidecar", "rename the volume"))
	case at >= 0:
		m.problems.Add(problem.Invalid(path, name, "the name of a volume of the sidecar", "rename the volume"))
	}
}

// claimProblem: the StatefulSet controller replaces a volume of the pod template by the
// claim of its name.
func (m *mutation) claimProblem(at int, name string) {
	fix := "rename the claim template"
	if slices.ContainsFunc(m.resolved.settings.Volumes, func(v corev1.Volume) bool { return v.Name == name }) {
		fix = "remove the volume from the annotation " + annotation.UserVolume + " to mount the claim's"
	}
	m.problems.Add(problem.Invalid(fmt.Sprintf("spec.volumeClaimTemplates[%d].metadata.name", at), name,
		"the name of a volume of the sidecar, which the claim would replace", fix))
}

// injectedItems are the injected containers of the outcome.
func (m *mutation) injectedItems() func(yield func(*jsontree.Node) bool) {
	return func(yield func(*jsontree.Node) bool) {
		for _, list := range [...]string{"initContainers", "containers"} {
			for _, item := range m.tree.At("spec", list).Items() {
				if m.injects(list, item.Get("name").Text()) && !yield(item) {
					return
				}
			}
		}
	}
}

// checkContainers checks each injected container as the API server does, in what a
// merge of several sources can break.
func (m *mutation) checkContainers() {
	m.checkNames()
	m.checkWait()
	for item := range m.injectedItems() {
		m.checkMounts(item)
		m.checkPorts(item)
		m.checkPrivilege(item)
	}
}

// checkNames: the templates may add one name to both lists.
func (m *mutation) checkNames() {
	for _, item := range m.tree.At("spec", "initContainers").Items() {
		name := item.Get("name")
		if indexBy(m.tree.At("spec", "containers").Items(), "name", name) < 0 || slices.Contains(m.misplaced, name.Text()) {
			continue
		}
		m.problems.Add(problem.Invalid("spec.containers", name.Text(), "the templates have a container of this name in initContainers too",
			"use {{ if .NativeSidecars }}initContainers{{ else }}containers{{ end }} in the template"))
	}
}

// checkWait: the kubelet starts what comes after an init container when that has ended.
func (m *mutation) checkWait() {
	if m.native() || !m.initWaits() || !m.injects("initContainers", initContainerName) {
		return
	}
	m.problems.Add(problem.Invalid(m.pathOf(initContainerName, "args"), waitFlag,
		"the sidecar is not a native one: it starts after istio-init, which would wait for it without an end", "remove the argument"))
}

// checkMounts: mounts come from the template, from the annotation and from the user's
// version of the container.
func (m *mutation) checkMounts(item *jsontree.Node) {
	var at []string
	privileged := item.At("securityContext", "privileged").JSON() == "true"
	for _, mount := range item.Get("volumeMounts").Items() {
		name, point := mount.Get("name"), mount.Get("mountPath").Text()
		if indexBy(m.tree.At("spec", "volumes").Items(), "name", name) < 0 && !slices.Contains(m.request.Claims, name.Text()) {
			m.mountProblem(item, mount, name.Text(), "the pod has no volume of this name", "add it to the annotation "+annotation.UserVolume+" or to spec.volumes")
		}
		if slices.Contains(at, path.Clean(point)) {
			m.mountProblem(item, mount, point, "another volume is mounted at this path", "use another mountPath")
		}
		at = append(at, path.Clean(point))
		if mode := mount.Get("mountPropagation").Text(); mode == string(corev1.MountPropagationBidirectional) && !privileged {
			m.mountProblem(item, mount, mode, "mountPropagation requires a privileged container", "use None or HostToContainer")
		}
	}
}

// checkPorts: strategic merge patch merges ports by their number, and the API server
// rejects two of one name.
func (m *mutation) checkPorts(item *jsontree.Node) {
	var names []string
	for i, port := range item.Get("ports").Items() {
		name := port.Get("name").Text()
		if name == "" {
			continue
		}
		if slices.Contains(names, name) {
			path := fmt.Sprintf("injected container %s: ports[%d]", item.Get("name").Text(), i)
			if c, ok := m.container(item.Get("name").Text()); ok {
				if own := slices.IndexFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == name }); own >= 0 {
					path = c.path("ports[" + strconv.Itoa(own) + "].name")
				}
			}
			m.problems.Add(problem.Invalid(path, name, "the name of a port of the sidecar", "rename the port"))
		}
		names = append(names, name)
	}
}

// mountProblem names the origin of a mount.
func (m *mutation) mountProblem(item, mount *jsontree.Node, value, rule, fix string) {
	p := problem.Invalid(m.mountPath(item.Get("name").Text(), mount), value, rule, fix)
	if !slices.Contains(m.problems, p) {
		m.problems.Add(p)
	}
}

func (m *mutation) mountPath(name string, mount *jsontree.Node) string {
	is := func(v corev1.VolumeMount) bool {
		return v.Name == mount.Get("name").Text() && v.MountPath == mount.Get("mountPath").Text()
	}
	if slices.ContainsFunc(m.resolved.settings.VolumeMounts, is) {
		return annotation.Path(annotation.UserVolumeMount, false)
	}
	if c, ok := m.container(name); ok {
		if i := slices.IndexFunc(c.VolumeMounts, is); i >= 0 {
			return c.path("volumeMounts[" + strconv.Itoa(i) + "]")
		}
	}
	return "injected container " + name + ": volumeMounts"
}

// checkPrivilege: the API server rejects the two together, of which the templates have
// one and an override may have the other.
func (m *mutation) checkPrivilege(item *jsontree.Node) {
	s := item.Get("securityContext")
	if s.Get("privileged").JSON() != "true" || s.Get("allowPrivilegeEscalation").JSON() != "false" {
		return
	}
	p := problem.Invalid(m.pathOf(item.Get("name").Text(), "securityContext.privileged"), "", "cannot be combined with allowPrivilegeEscalation: false of the injected container", "set allowPrivilegeEscalation: true too")
	p.Value = "true"
	m.problems.Add(p)
}
