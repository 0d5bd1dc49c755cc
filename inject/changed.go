package inject

import (
	"encoding/json"
	"path"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/jsontree"
)

// changes are the fields of an injected container that the pod replaces, and that decide
// what runs in it; both are nil for the container as the templates have it. What another
// webhook adds to every container, such as variables and mounts, is none.
type changes struct {
	init, proxy []string
}

// programPaths are where the programs of the two containers, the sidecar's libraries, the files
// that the dynamic linker reads, and the sidecar's configuration are; also by the links that
// images have between them. The last two decide which addresses declared hosts have.
var programPaths = []string{
	"/usr/local/bin/envoy", "/usr/local/bin/outrider-init",
	"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.preload", "/etc/ld.so.cache",
	"/var/run/secrets/outrider", "/var/run/outrider", "/run/secrets/outrider", "/run/outrider",
	"/etc/hosts", "/etc/resolv.conf",
}

// changed compares the injected containers of the outcome with those of the templates.
func (m *mutation) changed() changes {
	if !m.again && len(m.user.nodes) == 0 {
		return changes{}
	}
	pure := jsontree.NewObject()
	for _, o := range m.overlays {
		merged, err := merge(pure, o.tree, m.schema)
		if err != nil {
			return changes{} // it has been merged before
		}
		pure = merged
	}
	var out changes
	for _, list := range [...]string{"initContainers", "containers"} {
		for _, item := range m.tree.At("spec", list).Items() {
			name := item.Get("name")
			i := indexBy(pure.At("spec", list).Items(), "name", name)
			if i < 0 {
				continue
			}
			base := pure.At("spec", list).Items()[i]
			switch name.Text() {
			case initContainerName:
				out.init = m.changedInit(base, item)
			case proxyContainerName:
				out.proxy = m.changedProxy(base, item)
			}
		}
	}
	return out
}

func (m *mutation) changedInit(base, item *jsontree.Node) []string {
	out := differing(base, item, []string{"image", "command", "args", "lifecycle", "envFrom"})
	own := m.ownVersion(initContainerName)
	if len(own.Get("env").Items()) > 0 || slices.ContainsFunc(item.Get("env").Items(), turnsOff) {
		out = append(out, "env")
	}
	if len(ownMounts(base, own)) > 0 || slices.ContainsFunc(ownMounts(base, item), coversProgram) {
		out = append(out, "volumeMounts")
	}
	return out
}

// changedProxy: probes and lifecycle handlers matter where they run a program.
func (m *mutation) changedProxy(base, item *jsontree.Node) []string {
	out := differing(base, item, []string{"image", "command", "args"})
	if item.At("lifecycle", "postStart", "exec") != nil || item.At("lifecycle", "preStop", "exec") != nil {
		out = append(out, differing(base, item, []string{"lifecycle"})...)
	}
	for _, probe := range []string{"livenessProbe", "readinessProbe", "startupProbe"} {
		if item.At(probe, "exec") != nil {
			out = append(out, differing(base, item, []string{probe})...)
		}
	}
	out = append(out, differing(base, item, []string{"envFrom"})...)
	if changesVariables(base, item) {
		out = append(out, "env")
	}
	if slices.ContainsFunc(ownMounts(base, item), coversProgram) {
		out = append(out, "volumeMounts")
	}
	return out
}

// changesVariables reports whether a variable that decides what the sidecar runs differs from
// the templates'.
func changesVariables(base, item *jsontree.Node) bool {
	had := base.Get("env").Items()
	for _, variable := range item.Get("env").Items() {
		if i := indexBy(had, "name", variable.Get("name")); i >= 0 && jsontree.Equal(had[i], variable) {
			continue
		}
		if decidesProgram(variable.Get("name").Text()) {
			return true
		}
	}
	return false
}

// ownVersion is the pod's own version of an injected container.
func (m *mutation) ownVersion(name string) *jsontree.Node {
	for _, c := range m.user.nodes {
		if c.node.Get("name").Text() == name {
			return c.node
		}
	}
	return nil
}

// decidesProgram reports whether the dynamic linker reads a variable, or the kubelet inserts it
// into the sidecar's configuration, where its value could be more than text.
func decidesProgram(name string) bool {
	return strings.HasPrefix(name, "LD_") || name == "GLIBC_TUNABLES" || slices.Contains(insertedVariables, name)
}

// insertedVariables are those of the built-in template's arguments.
var insertedVariables = []string{"POD_NAME", "POD_NAMESPACE", "POD_IP", "APP"}

// turnsOff reports whether outrider-init installs nothing with a variable. Its arguments take
// precedence over its other variables.
func turnsOff(variable *jsontree.Node) bool {
	name := variable.Get("name").Text()
	return name == "DRY_RUN" || name == "CLEANUP_ONLY"
}

// ownMounts are where a container mounts other volumes than the templates, and than the
// API server.
func ownMounts(base, own *jsontree.Node) (paths []string) {
	had := base.Get("volumeMounts").Items()
	for _, mount := range own.Get("volumeMounts").Items() {
		at, name := mount.Get("mountPath"), mount.Get("name")
		if i := indexBy(had, "mountPath", at); i >= 0 && jsontree.Equal(had[i].Get("name"), name) || at.Text() == apiTokenPath {
			continue
		}
		paths = append(paths, absolute(at.Text()))
	}
	return paths
}

// absolute is a path as the kubelet uses it.
func absolute(at string) string { return path.Clean("/" + at) }

// coversProgram reports whether a mount hides one of programPaths, or a part of it.
func coversProgram(at string) bool { return covers(programPaths, at) }

// covers reports whether a path is above or below one of others, or one of them.
func covers(others []string, at string) bool {
	below := func(a, b string) bool { return a == "/" || a == b || strings.HasPrefix(b, a+"/") }
	return slices.ContainsFunc(others, func(p string) bool { return below(at, p) || below(p, at) })
}

func differing(base, item *jsontree.Node, fields []string) (out []string) {
	for _, field := range fields {
		if !jsontree.Equal(base.Get(field), item.Get(field)) {
			out = append(out, field)
		}
	}
	return out
}

// Where a setting comes from that an own version of a container decides, and its value
// where that cannot be known.
const (
	sourceOwnInit = Source("container istio-init of the pod")
	unknownValue  = "unknown"
)

// redirectSettings are decided by what the init container runs.
var redirectSettings = []string{"interceptionMode", "includeOutboundIPRanges", "excludeOutboundIPRanges", "includeOutboundPorts", "excludeOutboundPorts", "excludeInterfaces"}

// effective is the settings' part of the status annotation. It must not claim what an own
// version of a container replaces.
func (m *mutation) effective() json.RawMessage {
	c := m.changed()
	if len(c.init)+len(c.proxy) == 0 {
		return m.resolved.effective
	}
	s := *m.resolved.settings
	s.List = slices.Clone(s.List)
	set := func(name, value string, source Source) {
		if i := slices.IndexFunc(s.List, func(e Setting) bool { return e.Name == name }); i >= 0 {
			s.List[i].Value, s.List[i].Source = value, source
		}
	}
	if len(c.init) > 0 && m.injects("initContainers", initContainerName) {
		for _, name := range redirectSettings {
			set(name, unknownValue, sourceOwnInit)
		}
	}
	if slices.Contains(c.init, "image") {
		set("initImage", m.outcomeImage(initContainerName), sourceOwnInit)
	}
	if slices.Contains(c.proxy, "image") {
		set("proxyImage", m.outcomeImage(proxyContainerName), SourceContainer)
	}
	if slices.Contains(c.proxy, "args") || slices.Contains(c.proxy, "command") {
		set("logLevel", unknownValue, SourceContainer)
		set("componentLogLevel", unknownValue, SourceContainer)
	}
	return effectiveJSON(&s)
}

func (m *mutation) outcomeImage(name string) string {
	for _, list := range [...]string{"initContainers", "containers"} {
		items := m.tree.At("spec", list).Items()
		if i := indexOfName(items, name); i >= 0 {
			return items[i].Get("image").Text()
		}
	}
	return ""
}
