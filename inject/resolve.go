package inject

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/cidr"
)

// podInputs are the parts of a request that settings depend on. Two pods with
// the same key resolve to the same settings.
type podInputs struct {
	annotations map[string]string
	namespace   map[string]string // the namespace's annotations
	uid         *int64            // runAsUser of the pod's own istio-proxy container
}

// settingNames are the annotations that resolve reads, in key order.
var settingNames = [...]string{
	annotation.IncludeOutboundIPRanges, annotation.ExcludeOutboundIPRanges,
	annotation.IncludeOutboundPorts, annotation.ExcludeOutboundPorts, annotation.ExcludeInterfaces,
	annotation.InterceptionMode, annotation.NativeSidecar, annotation.InjectTemplates,
	annotation.ProxyImage, annotation.ProxyImageType,
	annotation.ProxyCPU, annotation.ProxyMemory, annotation.ProxyCPULimit, annotation.ProxyMemoryLimit,
	annotation.LogLevel, annotation.ComponentLogLevel,
	annotation.UserVolume, annotation.UserVolumeMount, annotation.ProxyConfig,
}

// key identifies the inputs; "" for a pod that sets nothing.
func (in podInputs) key() string {
	if in.uid == nil && len(in.annotations) == 0 && len(in.namespace) == 0 {
		return ""
	}
	var b []byte
	add := func(name, value string) {
		b = append(strconv.AppendQuote(append(b, name...), value), ';')
	}
	for _, name := range settingNames {
		if value, ok := in.annotations[name]; ok {
			add(name, value)
		}
	}
	for _, name := range []string{annotation.OpenShiftUIDRange, annotation.OpenShiftSupplementalGroups} {
		if value, ok := in.namespace[name]; ok {
			add(name, value)
		}
	}
	if in.uid != nil {
		add("uid", formatInt(*in.uid))
	}
	return string(b)
}

// resolver resolves one pod's settings, step by step, collecting problems.
// Values of annotations have passed annotation.Check before: a parser that
// fails here all the same adds a problem rather than being ignored.
type resolver struct {
	*Injector
	in       podInputs
	out      Settings
	problems []string
}

// resolve returns the settings for the inputs, or all problems.
func (i *Injector) resolve(in podInputs) (*Settings, []string) {
	r := &resolver{Injector: i, in: in}
	r.interceptionMode()
	r.ranges()
	r.ports()
	r.uncaptured()
	r.proxyConfig() // before what depends on it
	r.nativeSidecar()
	r.hold()
	r.identity()
	r.images()
	r.logging()
	r.resources()
	r.volumes()
	r.templateNames()
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return &r.out, nil
}

func (r *resolver) set(name, value string, source Source) {
	r.out.List = append(r.out.List, Setting{name, value, source})
}

func (r *resolver) problem(name string, err error) {
	r.problems = append(r.problems, fmt.Sprintf("annotation %q: %v", name, err))
}

// valueSource tells a value the admin wrote from a built-in one.
func (r *resolver) valueSource(path string) Source {
	if r.cfg.Values.Has(path) {
		return fromValues(path)
	}
	return SourceDefault
}

func (r *resolver) interceptionMode() {
	mode, source := "REDIRECT", SourceDefault
	if m := r.cfg.Mesh.GetDefaultConfig().GetInterceptionMode(); m == meshconfig.ProxyConfig_NONE {
		mode, source = m.String(), SourceMesh
	}
	if value, ok := r.in.annotations[annotation.InterceptionMode]; ok {
		mode, source = value, fromAnnotation(annotation.InterceptionMode)
	}
	r.out.InterceptionMode = mode
	r.set("interceptionMode", mode, source)
}

func (r *resolver) ranges() {
	r.out.IncludeIPRanges = r.rangeList("includeOutboundIPRanges", r.include, valuesIncludeIP, annotation.IncludeOutboundIPRanges, annotation.IncludeRangeOptions)
	r.out.ExcludeIPRanges = r.rangeList("excludeOutboundIPRanges", r.exclude, valuesExcludeIP, annotation.ExcludeOutboundIPRanges, annotation.ExcludeRangeOptions)
	if _, own := r.in.annotations[annotation.IncludeOutboundIPRanges]; own {
		r.out.leftOut = r.env.Ranges.Omitted(r.out.IncludeIPRanges)
	}
}

// rangeList takes the annotation's list, or else the values', whose names have
// been resolved.
func (r *resolver) rangeList(name string, l rangeList, path, annotated string, o cidr.Options) cidr.List {
	source := r.valueSource(path)
	if value, ok := r.in.annotations[annotated]; ok {
		l, source = r.annotatedRanges(annotated, value, o), fromAnnotation(annotated)
	}
	r.set(name, l.list.String(), l.source(source))
	return l.list
}

func (r *resolver) annotatedRanges(name, value string, o cidr.Options) rangeList {
	parsed, err := cidr.Parse(value, o)
	if err != nil {
		r.problem(name, err)
		return rangeList{}
	}
	l, err := r.names.resolve(parsed, o.AllowWildcard)
	if err != nil {
		r.problems = append(r.problems, annotationProblem(name, value, err))
		return rangeList{}
	}
	if l.evidence != "" {
		if r.out.namedLists == nil {
			r.out.namedLists = map[string]string{}
		}
		r.out.namedLists[name] = l.list.String()
	}
	if l.fallback != "" {
		r.out.fallbacks = append(r.out.fallbacks, fmt.Sprintf("annotation %q: global.platformFallback stands for %q, which cannot be resolved", name, cidr.Cluster))
	}
	return l
}

func (r *resolver) ports() {
	p := &r.cfg.Values.Global.Proxy
	r.out.IncludePorts = r.portList("includeOutboundPorts", p.IncludeOutboundPorts, valuesIncludePort, annotation.IncludeOutboundPorts)
	r.out.ExcludePorts = r.portList("excludeOutboundPorts", p.ExcludeOutboundPorts, valuesExcludePort, annotation.ExcludeOutboundPorts)

	names, source := p.ExcludeInterfaces, r.valueSource("global.proxy.excludeInterfaces")
	if value, ok := r.in.annotations[annotation.ExcludeInterfaces]; ok {
		names, source = splitNames(value), fromAnnotation(annotation.ExcludeInterfaces)
	}
	r.out.ExcludeInterfaces = names
	r.set("excludeInterfaces", strings.Join(names, ","), source)
}

// uncaptured: without a redirect no range or port is captured or excluded,
// whatever lists there are.
func (r *resolver) uncaptured() {
	if r.out.InterceptionMode != annotation.InterceptionNone {
		return
	}
	s := &r.out
	s.IncludeIPRanges, s.ExcludeIPRanges = cidr.List{}, cidr.List{}
	s.IncludePorts, s.ExcludePorts, s.ExcludeInterfaces = cidr.Ports{}, cidr.Ports{}, nil
	mode := s.Setting("interceptionMode").Source
	for i := range s.List {
		switch s.List[i].Name {
		case "includeOutboundIPRanges", "excludeOutboundIPRanges":
			s.List[i].Value, s.List[i].Source = "", mode
		case "includeOutboundPorts", "excludeOutboundPorts", "excludeInterfaces":
			s.List[i].Value, s.List[i].Source = "", SourceDefault
		}
	}
}

func (r *resolver) portList(name string, ports cidr.Ports, path, annotated string) cidr.Ports {
	source := r.valueSource(path)
	if value, ok := r.in.annotations[annotated]; ok {
		parsed, err := cidr.ParsePorts(value, false)
		if err != nil {
			r.problem(annotated, err)
		}
		ports, source = parsed, fromAnnotation(annotated)
	}
	r.set(name, ports.String(), source)
	return ports
}

// proxyConfig lays the annotation over mesh.defaultConfig, as Istio does:
// field by field, maps key by key.
func (r *resolver) proxyConfig() {
	r.out.ProxyConfig = r.cfg.Mesh.GetDefaultConfig()
	text, ok := r.in.annotations[annotation.ProxyConfig]
	if !ok {
		return
	}
	overlay, _, err := annotation.ParseProxyConfig(text)
	if err != nil {
		r.problem(annotation.ProxyConfig, err)
		return
	}
	r.out.ProxyConfig = annotation.OverlayProxyConfig(r.out.ProxyConfig, overlay)
}

// nativeSidecar: 1.29 servers accept restartPolicy on init containers, but
// kubelets may be up to three releases older than the server and would run the
// sidecar to completion first. 1.32 is the first server whose oldest allowed
// kubelet (1.29) knows native sidecars.
func (r *resolver) nativeSidecar() {
	native, source := r.env.Kubernetes.atLeast(1, 32), SourceKubernetes
	if r.env.Kubernetes == (Version{}) {
		native, source = true, SourceDefault
	}
	switch r.cfg.Values.NativeSidecars {
	case "true", "false":
		native, source = r.cfg.Values.NativeSidecars == "true", fromValues(valuesNative)
	}
	switch value := r.in.annotations[annotation.NativeSidecar]; value {
	case "true", "false":
		native, source = value == "true", fromAnnotation(annotation.NativeSidecar)
	}
	r.out.NativeSidecar = native
	r.set("nativeSidecar", strconv.FormatBool(native), source)
}

func (r *resolver) hold() {
	r.out.HoldApp = r.cfg.Values.Global.Proxy.HoldApplicationUntilProxyStarts
	if hold := r.out.ProxyConfig.GetHoldApplicationUntilProxyStarts(); hold != nil {
		r.out.HoldApp = hold.Value
	}
}

// identity picks the uid and gid of the sidecar. On OpenShift a pod may only use
// uids of its namespace's range; the last one is taken, as applications get the
// first. A pod that brings its own istio-proxy container decides itself.
func (r *resolver) identity() {
	uid, gid, source := int64(1337), int64(1337), SourceDefault
	if text, ok := r.in.namespace[annotation.OpenShiftUIDRange]; ok {
		last, err := lastOfRange(text)
		if err != nil {
			r.problems = append(r.problems, fmt.Sprintf("namespace annotation %q: %v", annotation.OpenShiftUIDRange, err))
		}
		uid, gid, source = last, last, SourceNamespace
	}
	if text, ok := r.in.namespace[annotation.OpenShiftSupplementalGroups]; ok {
		last, err := lastOfRange(text)
		if err != nil {
			r.problems = append(r.problems, fmt.Sprintf("namespace annotation %q: %v", annotation.OpenShiftSupplementalGroups, err))
		}
		gid = last
	}
	if r.in.uid != nil && *r.in.uid != 0 {
		uid, source = *r.in.uid, SourceContainer
	}
	r.out.ProxyUID, r.out.ProxyGID = uid, gid
	r.set("proxyUID", formatInt(uid), source)
	r.set("proxyGID", formatInt(gid), source)
}

// lastOfRange returns the last id of OpenShift's "first/size" or "first-last",
// of the first block where several are listed.
func lastOfRange(text string) (int64, error) {
	block, _, _ := strings.Cut(text, ",")
	if first, size, ok := strings.Cut(block, "/"); ok {
		a, errA := strconv.ParseInt(strings.TrimSpace(first), 10, 64)
		n, errN := strconv.ParseInt(strings.TrimSpace(size), 10, 64)
		if errA == nil && errN == nil && a >= 0 && n > 0 && a+n-1 <= 1<<31-1 {
			return a + n - 1, nil
		}
	} else if first, last, ok := strings.Cut(block, "-"); ok {
		a, errA := strconv.ParseInt(strings.TrimSpace(first), 10, 64)
		b, errB := strconv.ParseInt(strings.TrimSpace(last), 10, 64)
		if errA == nil && errB == nil && a >= 0 && b >= a && b <= 1<<31-1 {
			return b, nil
		}
	}
	return 0, fmt.Errorf("value %q: not a range of ids; OpenShift writes FIRST/SIZE or FIRST-LAST", cut(text))
}

// templates resolves the wanted names: an alias stands for its list, once, and
// is not followed further.
func (r *resolver) templateNames() {
	c := &r.cfg.Injection
	wanted, source := c.DefaultTemplates, SourceDefault
	if c.DefaultTemplatesGiven {
		source = SourceConfigMap
	}
	if value, ok := r.in.annotations[annotation.InjectTemplates]; ok {
		wanted, source = splitNames(value), fromAnnotation(annotation.InjectTemplates)
	}
	var names []string
	for _, name := range wanted {
		if alias, ok := c.Aliases[name]; ok {
			names = append(names, alias...)
		} else {
			names = append(names, name)
		}
	}
	r.out.Templates = slices.Compact(names)
	r.set("templates", strings.Join(r.out.Templates, ","), source)
}

// splitNames splits a comma list, dropping blanks around and between.
func splitNames(text string) []string {
	var names []string
	for _, name := range strings.Split(text, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }

// cut shortens a value for a message.
func cut(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
