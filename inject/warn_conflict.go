package inject

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/internal/revision"

	corev1 "k8s.io/api/core/v1"
)

// builtinPorts are those that the built-in sidecar listens on besides the one for
// captured connections: the read-only administration on loopback, readiness and metrics
// on every address.
var builtinPorts = [...]int32{15000, 15021, 15090}

// warnPorts: the containers of a pod share its network.
func warnPorts(m *mutation) (out problem.List) {
	var taken []int32
	for c := range m.containers() {
		// An ordinary init container has ended before a classic sidecar starts.
		if m.user.has(c.Name) || !c.lasts() && !m.resolved.settings.NativeSidecar {
			continue
		}
		for n, port := range c.Ports {
			if port.Protocol != "" && port.Protocol != corev1.ProtocolTCP {
				continue
			}
			if taken == nil {
				taken = m.sidecarPorts()
			}
			i := slices.Index(taken, port.ContainerPort)
			if i < 0 {
				continue
			}
			taken = slices.Delete(taken, i, i+1) // a port is reported once
			p := problem.Invalid(c.path(fmt.Sprintf("ports[%d].containerPort", n)), "",
				"the sidecar listens on this port: only one of the two can start", "use another port").AsWarning()
			p.Value = strconv.Itoa(int(port.ContainerPort))
			out.Add(p)
		}
	}
	return out
}

// sidecarPorts are those that injected containers listen on: what the built-in
// template is known to use, and what any template declares.
func (m *mutation) sidecarPorts() []int32 {
	ports := []int32{}
	if m.builtin() {
		ports = append(append(ports, builtinPorts[:]...), m.resolved.settings.ProxyPort)
	}
	for _, o := range m.overlays {
		for _, list := range [...]string{"initContainers", "containers"} {
			for _, c := range o.tree.At("spec", list).Items() {
				if !m.injects(list, c.Get("name").Text()) {
					continue // a template may also change the user's containers
				}
				for _, p := range c.Get("ports").Items() {
					if n, err := strconv.ParseInt(p.Get("containerPort").JSON(), 10, 32); err == nil && !slices.Contains(ports, int32(n)) {
						ports = append(ports, int32(n))
					}
				}
			}
		}
	}
	return ports
}

// builtin reports that the sidecar is the one of the built-in template.
func (m *mutation) builtin() bool {
	_, replaced := m.cfg.Injection.Templates[config.BuiltinTemplate]
	return !replaced && slices.Contains(m.resolved.settings.Templates, config.BuiltinTemplate)
}

// otherMesh is how the sidecars of another mesh are recognized.
type otherMesh struct {
	name       string
	containers []string // the names of its containers
	images     []string // the last parts of its images' paths
	asks       string   // the annotation or label that asks for its sidecar
	values     []string // the values of asks that do
	declines   string   // the value of asks that does not
}

// otherMeshes are those whose sidecars redirect the pod's traffic.
var otherMeshes = []otherMesh{
	{"Istio", nil, []string{"proxyv2", "proxyv2-rhel8", "proxyv2-rhel9"}, "", nil, ""},
	{"Linkerd", []string{"linkerd-proxy", "linkerd-init"}, []string{"linkerd/proxy", "linkerd/proxy-init"}, "linkerd.io/inject", []string{"enabled", "ingress"}, "disabled"},
	{"Consul", []string{"consul-dataplane", "consul-connect-inject-init", "envoy-sidecar"}, []string{"consul-dataplane"}, "consul.hashicorp.com/connect-inject", []string{"true"}, "false"},
	{"Kuma", []string{"kuma-sidecar", "kuma-init"}, []string{"kuma-dp", "kuma-init"}, "kuma.io/sidecar-injection", []string{"enabled", "true"}, "disabled"},
	{"AWS App Mesh", []string{"proxyinit"}, []string{"aws-appmesh-envoy", "aws-appmesh-proxy-route-manager"}, "appmesh.k8s.aws/sidecarInjectorWebhook", []string{"enabled"}, "disabled"},
	{"Open Service Mesh", []string{"osm-init"}, []string{"osm-sidecar-init"}, "openservicemesh.io/sidecar-injection", []string{"enabled", "yes", "true"}, "disabled"},
	{"NGINX Service Mesh", []string{"nginx-mesh-sidecar", "nginx-mesh-init"}, []string{"nginx-mesh-sidecar"}, "injector.nsm.nginx.com/auto-inject", []string{"true"}, "false"},
}

// warnOtherMeshes: two sidecars that redirect the same connections.
func warnOtherMeshes(m *mutation) (out problem.List) {
	for i := range otherMeshes {
		o := &otherMeshes[i]
		at, value := o.in(m)
		if at == "" {
			continue
		}
		fix := `remove it, or label the pod sidecar.istio.io/inject: "false"`
		if !strings.HasPrefix(at, "spec.") {
			fix = fmt.Sprintf(`set %s: %q, or label the pod sidecar.istio.io/inject: "false"`, o.asks, o.declines)
		}
		p := problem.Bypass(at, "", fmt.Sprintf("%s redirects the pod's traffic too: connections may bypass either sidecar", o.name), fix)
		p.Value = strconv.Quote(problem.Clip(value, maxList))
		out.Add(p)
	}
	return out
}

// in is where the pod has the mesh's sidecar, or asks for it.
func (o *otherMesh) in(m *mutation) (at, value string) {
	for c := range m.containers() {
		switch {
		case m.user.has(c.Name): // the sidecar itself
		case slices.Contains(o.containers, c.Name):
			return c.path("name"), c.Name
		case o.image(c.Image):
			return c.path("image"), c.Image
		}
	}
	if o.asks == "" {
		return "", ""
	}
	if v, ok := m.pod.Annotations[o.asks]; ok && slices.Contains(o.values, v) {
		return annotation.Path(o.asks, false), v
	}
	if v, ok := m.pod.Labels[o.asks]; ok && slices.Contains(o.values, v) {
		return annotation.Path(o.asks, true), v
	}
	return "", ""
}

// image reports whether an image is one of the mesh's.
func (o *otherMesh) image(image string) bool {
	image, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndexByte(image, ':'); colon > strings.LastIndexByte(image, '/') {
		image = image[:colon]
	}
	return slices.ContainsFunc(o.images, func(name string) bool { return image == name || strings.HasSuffix(image, "/"+name) })
}

// warnEnvoyVersion: the pod asks for a version of Envoy that was not tested with its
// bootstrap and with what the control plane sends. One in the values is reported once,
// with the configuration.
func warnEnvoyVersion(m *mutation) (out problem.List) {
	if !m.builtin() {
		return nil
	}
	s := m.resolved.settings
	if image, ok := m.pod.Annotations[annotation.ProxyImage]; ok {
		if minor := config.UntestedEnvoy(s.ProxyImage); minor != "" {
			out.Add(untestedEnvoy(annotation.Path(annotation.ProxyImage, false), image, minor))
		}
	}
	if s.ComponentLogLevel == "" {
		return out
	}
	minor := config.MinorOfEnvoy(s.ProxyImage)
	for _, name := range annotation.ComponentsLacked(minor, s.ComponentLogLevel) {
		at := "global.proxy.componentLogLevel"
		if _, ok := m.pod.Annotations[annotation.ComponentLogLevel]; ok {
			at = annotation.Path(annotation.ComponentLogLevel, false)
		}
		out.Add(problem.Invalid(at, name, "Envoy "+minor+" of the sidecar's image has no such log component, and does not start", "remove it, or use another image").AsWarning())
	}
	return out
}

// warnForeignImage: a container of the built-in template with the image of another mesh.
func warnForeignImage(m *mutation) (out problem.List) {
	if !m.builtin() {
		return nil
	}
	add := func(at, image, rule, fix string) {
		for i := range otherMeshes {
			if o := &otherMeshes[i]; o.image(image) {
				p := problem.Invalid(at, "", fmt.Sprintf("an image of %s: %s", o.name, rule), fix)
				p.Value = strconv.Quote(problem.Clip(image, maxList))
				out.Add(p.AsWarning())
			}
		}
	}
	const rule, fix = "the sidecar runs /usr/local/bin/envoy of it with Outrider's configuration, and no agent", "use an Envoy image, or image: auto"
	if own, ok := m.container(proxyContainerName); ok {
		add(own.path("image"), own.Image, rule, fix)
	}
	if len(out) == 0 {
		if image, ok := m.pod.Annotations[annotation.ProxyImage]; ok {
			add(annotation.Path(annotation.ProxyImage, false), image, rule, fix)
		}
	}
	if own, ok := m.container(initContainerName); ok && m.user.has(initContainerName) {
		add(own.path("image"), own.Image, "the init container runs it with the arguments of outrider-init", "use image: auto")
	}
	return out
}

// warnRevision: which revision injects a pod depends on its own label only where the
// namespace has none, and in a file not at all.
func warnRevision(m *mutation) problem.List {
	own := revision.Revision(m.revision())
	if label, ok := m.pod.Labels[annotation.Rev]; ok && !m.selects(label) {
		asked := revision.Revision(problem.Short(label)).String()
		return problem.List{problem.Invalid(annotation.Path(annotation.Rev, true), label,
			fmt.Sprintf("no effect: the pod gets the sidecar of revision %q", own),
			fmt.Sprintf("set this label on its namespace, pass --revision %s to kube-inject, or remove the label", asked)).AsWarning()}
	}
	if value, ok := m.pod.Annotations[annotation.Rev]; ok && !own.Matches(value) {
		return problem.List{problem.NoEffect(annotation.Path(annotation.Rev, false), value, "the injector writes this annotation; only the label of this name selects a revision", "set it as a label")}
	}
	return nil
}
