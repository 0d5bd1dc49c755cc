package inject

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/problem"

	corev1 "k8s.io/api/core/v1"
)

// ReviewEphemeral checks the ephemeral containers of a running pod, except those of the names
// in known, which it has already. Errors are about containers that would bypass the sidecar
// or could be taken for an injected one, warnings about those that may get around it. A pod
// without a sidecar has no problems. The error is always an *Error.
func (i *Injector) ReviewEphemeral(pod []byte, known []string) (problem.List, error) {
	p, err := decodePod(pod)
	if err != nil {
		return nil, err
	}
	r := ephemeralReview{Injector: i, pod: p, uid: defaultProxyID, redirect: slices.ContainsFunc(p.Spec.InitContainers, named(initContainerName))}
	if !r.findSidecar() {
		return nil, nil
	}
	for n := range p.Spec.EphemeralContainers {
		if e := &p.Spec.EphemeralContainers[n]; !slices.Contains(known, e.Name) {
			r.review(n, (*corev1.Container)(&e.EphemeralContainerCommon), e.TargetContainerName == proxyContainerName)
		}
	}
	return r.problems.WorstFirst(), nil
}

// ReviewUpdate warns about an update of a running pod that replaces the program of an injected
// container: images are what an update can change in containers. Another version of the
// configured image is none. The error is always an *Error.
func (i *Injector) ReviewUpdate(old, pod []byte) (out problem.List, err error) {
	if !i.registryOnly() {
		return nil, nil
	}
	was, err := decodePod(old)
	if err != nil {
		return nil, err
	}
	is, err := decodePod(pod)
	if err != nil {
		return nil, err
	}
	g := &i.cfg.Values.Global
	configured := map[string]string{proxyContainerName: g.Proxy.Image, initContainerName: g.ProxyInit.Image}
	for list, items := range map[string][2][]corev1.Container{
		"containers":     {was.Spec.Containers, is.Spec.Containers},
		"initContainers": {was.Spec.InitContainers, is.Spec.InitContainers},
	} {
		for n := range items[1] {
			c := &items[1][n]
			before := slices.IndexFunc(items[0], named(c.Name))
			image, injected := configured[c.Name]
			if !injected || before < 0 || items[0][before].Image == c.Image || repository(c.Image) == repository(annotation.CompleteImage(image, g.Hub, g.Tag)) {
				continue
			}
			out.Add(problem.Bypass(fmt.Sprintf("spec.%s[%d].image", list, n), problem.Clip(c.Image, maxList), aroundPolicy+"replaces the program of an injected container", "use the configured image"))
		}
	}
	slices.SortFunc(out, func(a, b problem.Problem) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

// ephemeralReview is a review in progress.
type ephemeralReview struct {
	*Injector
	pod      *corev1.Pod
	uid      int64
	redirect bool
	problems problem.List
}

const defaultProxyID = 1337

func named(name string) func(corev1.Container) bool {
	return func(c corev1.Container) bool { return c.Name == name }
}

// findSidecar reports whether the pod has one, and finds its uid.
func (r *ephemeralReview) findSidecar() bool {
	for _, list := range [][]corev1.Container{r.pod.Spec.Containers, r.pod.Spec.InitContainers} {
		if n := slices.IndexFunc(list, named(proxyContainerName)); n >= 0 {
			if uid, _ := runsAs(r.pod, &list[n]); uid != nil {
				r.uid = *uid
			}
			return true
		}
	}
	return false
}

// exempts reports whether the redirect of the pod exempts a group.
func (r *ephemeralReview) exempts(gid *int64) bool {
	n := slices.IndexFunc(r.pod.Spec.InitContainers, named(initContainerName))
	return gid != nil && n >= 0 && exemptsGroup(r.pod.Spec.InitContainers[n].Args, *gid)
}

// review checks one container; beside is set where it shares the sidecar's processes.
func (r *ephemeralReview) review(n int, c *corev1.Container, beside bool) {
	at := func(field string) string { return fmt.Sprintf("spec.ephemeralContainers[%d].%s", n, field) }
	if c.Name == proxyContainerName || c.Name == initContainerName {
		r.problems.Add(problem.Invalid(at("name"), c.Name, "the name of an injected container, which policies allow more", "use another name"))
	}
	for k := range c.VolumeMounts {
		if name := c.VolumeMounts[k].Name; slices.Contains(privateVolumes[:], name) {
			r.problems.Add(problem.Invalid(at(fmt.Sprintf("volumeMounts[%d].name", k)), name, "a volume of the sidecar, which no other container may mount", "remove the mount"))
		}
	}
	if !r.redirect {
		return
	}
	uid, gid := runsAs(r.pod, c)
	if same(uid, r.uid) {
		r.exempt(at("securityContext.runAsUser"), "uid", *uid, "use another runAsUser")
	}
	if r.exempts(gid) {
		r.exempt(at("securityContext.runAsGroup"), "gid", *gid, "use another runAsGroup")
	}
	if !r.registryOnly() {
		return
	}
	for _, p := range powers(&r.pod.Spec, c.SecurityContext, beside || seesProcesses(&r.pod.Spec)) {
		w := problem.Bypass(at("securityContext."+p.field), "", aroundPolicy+"container "+c.Name+" "+p.what, "")
		w.Value = p.value
		r.problems.Add(w)
	}
}

func (r *ephemeralReview) exempt(path, what string, id int64, fix string) {
	p := problem.Invalid(path, "", fmt.Sprintf("the sidecar's %s, which the redirect exempts: the container would bypass the sidecar", what), fix)
	p.Value = formatInt(id)
	r.problems.Add(p)
}
