package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// values reads the key "values": keys first, then every value that is used.
func (r *reader) values(user *document.Node) (*Values, map[string]any) {
	v := &Values{set: map[string]bool{}, Source: r.source, Places: map[string]Place{}}
	if user != nil {
		user = r.unwrap(user, valuesWrapper)
		r.keys(user, "", v.set)
	}
	root := overlay(builtin, user, "")
	raw, _ := root.Any().(map[string]any)
	t := tree{r: r, root: root, raw: raw}

	v.Revision = t.label("revision")
	v.NativeSidecars = t.nativeSidecars("pilot.env.ENABLE_NATIVE_SIDECARS")
	v.Global = t.global()
	v.Global.Namespace = t.label("global.istioNamespace")
	v.Global.Proxy = t.proxy(v.Global.NamedRanges)
	v.Global.ProxyInit.Image = t.image("global.proxy_init.image")
	v.Global.ProxyInit.Resources = t.resources("global.proxy_init.resources")
	t.images(v)
	t.templateValues()
	for _, path := range []string{
		"revision", "global.proxy.includeIPRanges", "global.proxy.excludeIPRanges",
		"global.proxy.includeOutboundPorts", "global.proxy.excludeOutboundPorts", "global.proxy.excludeInterfaces", "global.proxy.image", "global.platform", "global.platformFallback",
	} {
		if n := t.at(path); n != nil && n.Line > 0 {
			v.Places[path] = Place{n.Line, n.Column}
		}
	}
	return v, raw
}

// keys walks the user's tree: unknown keys, ignored keys, and the set paths.
func (r *reader) keys(n *document.Node, path string, set map[string]bool) {
	for _, f := range n.Fields {
		at := joined(path, f.Name)
		if f.Value.Kind != document.Null {
			set[at] = true
		}
		kind := valueKeys.kind[at]
		note, ineffective := ineffectiveKeys[at]
		if strings.Contains(f.Name, ".") { // one key, not a path
			kind, ineffective = keyUnknown, false
		}
		switch {
		case path == "pilot.env" && kind == keyUnknown: // any environment variable
		case (kind == keyUnknown || kind == keySilent) && losesPolicy(f):
			r.add(lostPolicy(f.Unknown(document.Join(path, f.Name), nil), valuesWrapper.key))
		case ineffective:
			if !r.templatesRead("." + f.Name) {
				r.ineffective(f, at, note)
			}
		case kind == keyUnknown:
			r.add(unknownValue(f, path))
		case at == "sidecarInjectorWebhook":
			r.webhookValues(f)
		case kind == keyParent && f.Value.Kind == document.Map:
			r.keys(f.Value, at, set)
		case kind == keyParent && f.Value.Kind != document.Null:
			r.error(f.Value, at, "must be a mapping", "set "+strings.Join(valueKeys.examples(at), ", ")+" below it")
		case kind == keyTyped && f.Value.Kind == document.Map:
			mark(f.Value, at, set)
		}
	}
}

// unknownValue is the problem of an unknown key: what is close to it below path, or
// the key of its name elsewhere.
func unknownValue(f document.Field, path string) problem.Problem {
	p := f.Unknown(document.Join(path, f.Name), valueKeys.children[path])
	switch whole := joined(path, f.Name); {
	case strings.Contains(f.Name, ".") && valueKeys.kind[whole] != keyUnknown:
		p.Fix = "a dot does not nest keys: write " + strings.ReplaceAll(f.Name, ".", ": {") + strings.Repeat("}", strings.Count(f.Name, "."))
	case p.Fix == "":
		if at := valueKeys.elsewhere(f.Name); at != "" {
			p.Fix = "set " + at
		}
	}
	return p
}

// webhookValues warns about values that Istio's chart renders into the key config,
// which is what is read, where that key does not have them.
func (r *reader) webhookValues(webhook document.Field) {
	for _, f := range webhook.Value.Fields {
		if slices.Contains(injectionKeys, f.Name) && !slices.Contains(r.rendered, f.Name) {
			r.ineffective(f, document.Join(webhook.Name, f.Name), ineffective{nil, `the key "config" does not have it`, "set " + f.Name + ` in the key "config"`})
		}
	}
}

// examples are up to three names below a path: of keys that have an effect, if it has any.
func (t keyTable) examples(path string) []string {
	names := slices.DeleteFunc(slices.Clone(t.children[path]), func(name string) bool { return t.kind[path+"."+name] == keySilent })
	if len(names) == 0 {
		names = t.children[path]
	}
	return names[:min(3, len(names))]
}

// mark ineffectiveKeys the paths below a Kubernetes object as set.
func mark(n *document.Node, path string, set map[string]bool) {
	for _, f := range n.Fields {
		if f.Value.Kind != document.Null {
			set[path+"."+f.Name] = true
			mark(f.Value, path+"."+f.Name, set)
		}
	}
}

func (t tree) global() Global {
	g := Global{
		Hub:             t.parsed("global.hub", annotation.ParseHub),
		Tag:             t.tag("global.tag"),
		Variant:         t.parsed("global.variant", annotation.ParseImageType),
		LogAsJSON:       t.boolean("global.logAsJson"),
		ImagePullPolicy: t.oneOf("global.imagePullPolicy", "", "Always", "IfNotPresent", "Never"),
		Platform:        t.text("global.platform"),
	}
	g.ImagePullSecrets = t.pullSecrets("global.imagePullSecrets")
	if t.at("global.platformFallback") != nil {
		g.PlatformFallback = t.ranges("global.platformFallback", cidr.Options{AllowWildcard: true})
	}
	g.NamedRanges = t.namedRanges("global.namedRanges")
	return g
}

// templateValues checks the values that only templates read, in RawValues.
func (t tree) templateValues() {
	t.text("global.network")
	t.parsed("global.logging.level", annotation.ParseAgentLogLevel)
	t.text("global.proxy.includeInboundPorts")
	t.text("global.proxy.excludeInboundPorts")
}

func (t tree) proxy(named map[string]cidr.List) Proxy {
	const at = "global.proxy."
	p := Proxy{
		AutoInject:           t.oneOf(at+"autoInject", policyEnabled, policyDisabled),
		IncludeIPRanges:      t.ranges(at+"includeIPRanges", annotation.IncludeRangeOptions),
		ExcludeIPRanges:      t.ranges(at+"excludeIPRanges", annotation.ExcludeRangeOptions),
		IncludeOutboundPorts: t.ports(at + "includeOutboundPorts"),
		ExcludeOutboundPorts: t.ports(at + "excludeOutboundPorts"),
		ExcludeInterfaces:    t.interfaces(at + "excludeInterfaces"),

		Image:             t.image(at + "image"),
		LogLevel:          t.filled(at+"logLevel", annotation.ParseLogLevel),
		ComponentLogLevel: t.parsed(at+"componentLogLevel", annotation.ParseComponentLogLevel),
		ClusterDomain:     t.domain(at + "clusterDomain"),

		Resources:      t.resources(at + "resources"),
		Lifecycle:      t.lifecycle(at + "lifecycle"),
		SeccompProfile: t.seccomp(at + "seccompProfile"),

		Privileged:                      t.boolean(at + "privileged"),
		HoldApplicationUntilProxyStarts: t.boolean(at + "holdApplicationUntilProxyStarts"),

		StatusPort: t.number(at+"statusPort", 0, 65535),

		ReadinessInitialDelaySeconds: t.number(at+"readinessInitialDelaySeconds", 0, maxSeconds),
		ReadinessPeriodSeconds:       t.number(at+"readinessPeriodSeconds", 1, maxSeconds),
		ReadinessFailureThreshold:    t.number(at+"readinessFailureThreshold", 1, maxSeconds),
	}
	p.StartupProbe.Enabled = t.boolean(at + "startupProbe.enabled")
	p.StartupProbe.FailureThreshold = t.number(at+"startupProbe.failureThreshold", 1, maxSeconds)
	t.rangeNames(at+"includeIPRanges", p.IncludeIPRanges, named)
	t.rangeNames(at+"excludeIPRanges", p.ExcludeIPRanges, named)
	if n := t.at(at + "includeIPRanges"); n != nil && n.Line > 0 && !t.r.ps.HasErrors() && p.IncludeIPRanges.IsEmpty() &&
		!p.IncludeIPRanges.IsWildcard() && p.IncludeOutboundPorts.IsEmpty() {
		t.r.warn(n, at+"includeIPRanges", "no address: nothing is captured, and all traffic bypasses the proxy", `use "*" to capture everything, or remove the key`)
	}
	return p
}

const maxSeconds = 1 << 30 // of a probe's fields; the API's type is int32

// images checks hub, tag and image together.
func (t tree) images(v *Values) {
	g := v.Global
	for _, i := range []struct{ path, image string }{
		{"global.proxy.image", g.Proxy.Image}, {"global.proxy_init.image", g.ProxyInit.Image},
	} {
		n := t.at(i.path)
		if n == nil || i.image == "" {
			continue
		}
		t.imageParts(i.path, i.image, g)
		name := i.image[strings.LastIndexByte(i.image, '/')+1:]
		if name, _, _ = strings.Cut(name, ":"); name == "proxyv2" && n.Line > 0 && t.r.templates[BuiltinTemplate] == "" {
			t.r.warn(n, i.path, "not an Envoy image, which the built-in template requires",
				"remove the key, unless a custom template needs it")
		}
	}
}

// imageParts checks hub, tag and variant of one image.
func (t tree) imageParts(path, image string, g Global) {
	for _, part := range []struct {
		path, value string
		needed      bool
	}{
		{"global.hub", g.Hub, !strings.Contains(image, "/")}, {"global.tag", g.Tag, annotation.NeedsTag(image)},
	} {
		if m := t.at(part.path); part.needed && part.value == "" && m != nil && m.Kind == document.String && m.Text == "" {
			t.r.error(m, part.path, fmt.Sprintf("required, because %s is the short name %q", path, image), "set it, or use a full image reference there")
		}
	}
	if m := t.at("global.variant"); path == "global.proxy.image" && g.Variant != "" && strings.Contains(image, "@") {
		t.r.add(m.Locate(problem.NoEffect("global.variant", "", path+" has a digest, which is that of one variant", "remove one of the two")))
	}
}

func (t tree) nativeSidecars(path string) string {
	n := t.at(path)
	if n == nil {
		return ""
	}
	if b, ok := n.Value.(bool); ok {
		return fmt.Sprint(b)
	}
	return t.oneOf(path, "", "true", "false", "auto")
}
