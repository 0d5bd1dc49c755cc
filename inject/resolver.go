package inject

import (
	"slices"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/internal/problem"

	meshconfig "istio.io/api/mesh/v1alpha1"
)

// resolver resolves one pod's settings, step by step, collecting problems. Values of
// annotations have passed annotation.Check before; the problem of a parser that fails
// here nevertheless is not ignored.
type resolver struct {
	*Injector
	in       podInputs
	out      Settings
	problems problem.List

	namedInclude bool // the include list has names
}

func (r *resolver) set(name, value string, source Source) {
	r.out.List = append(r.out.List, Setting{name, value, source})
}

// problem adds the problems of an annotation.
func (r *resolver) problem(name string, err error) {
	r.problems.Add(problem.Of(err).At(annotation.Path(name, false))...)
}

// namespaceProblem is an invalid annotation of the namespace.
func (r *resolver) namespaceProblem(name string, err error) {
	r.problems.Add(problem.Of(err).At("namespace " + annotation.Path(name, false))...)
}

// valueSource distinguishes a value of the ConfigMap from a built-in one.
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
	r.out.InterceptionMode, r.out.ProxyPort = mode, r.cfg.Mesh.GetProxyListenPort()
	r.set("interceptionMode", mode, source)
}

func (r *resolver) ranges() {
	r.out.IncludeIPRanges = r.rangeList("includeOutboundIPRanges", r.include, valuesIncludeIP, annotation.IncludeOutboundIPRanges, annotation.IncludeRangeOptions)
	r.out.ExcludeIPRanges = r.rangeList("excludeOutboundIPRanges", r.exclude, valuesExcludeIP, annotation.ExcludeOutboundIPRanges, annotation.ExcludeRangeOptions)
}

// rangeList uses the annotation's list, or else the values', whose names have been
// resolved.
func (r *resolver) rangeList(name string, l rangeList, path, annotated string, o cidr.Options) cidr.List {
	source := r.valueSource(path)
	if value, ok := r.in.annotations[annotated]; ok {
		l, source = r.annotatedRanges(annotated, value, o), fromAnnotation(annotated)
	}
	if annotated == annotation.IncludeOutboundIPRanges {
		r.namedInclude = l.evidence != ""
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
	l, problems := r.names.resolve(parsed, o.AllowWildcard)
	if len(problems) > 0 {
		r.problem(name, problems)
		return rangeList{}
	}
	if l.evidence != "" {
		if r.out.namedLists == nil {
			r.out.namedLists = map[string]string{}
		}
		r.out.namedLists[name] = l.list.String()
	}
	if l.fallback != "" {
		p := problem.Invalid(annotation.Path(name, false), cidr.Cluster, "cannot be resolved; global.platformFallback is used instead", "")
		r.out.bypasses.Add(p.AsWarning())
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
	s.bypasses, s.unpoliced = nil, nil // the mode is the user's decision
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

// nativeSidecar: 1.29 servers accept restartPolicy on init containers, but
// kubelets may be up to three releases older than the server and would run the
// sidecar to completion first. 1.32 is the first server whose oldest allowed
// kubelet (1.29) supports native sidecars.
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

// templateNames resolves the requested names: an alias expands to its list, once,
// and not recursively.
func (r *resolver) templateNames() {
	c := &r.cfg.Injection
	wanted, source := c.DefaultTemplates, SourceDefault
	if c.DefaultTemplatesGiven {
		source = SourceConfigMap
	}
	if value, ok := r.in.annotations[annotation.InjectTemplates]; ok {
		wanted, source = splitNames(value), fromAnnotation(annotation.InjectTemplates)
	}
	r.out.Templates = r.expanded(wanted)
	r.set("templates", strings.Join(r.out.Templates, ","), source)
}

// defaultTemplates are the templates of a pod that does not request any.
func (r *resolver) defaultTemplates() []string { return r.expanded(r.cfg.Injection.DefaultTemplates) }

// expanded is a list of names with each alias replaced by its templates.
func (r *resolver) expanded(wanted []string) []string {
	var names []string
	for _, name := range wanted {
		if alias, ok := r.cfg.Injection.Aliases[name]; ok {
			names = append(names, alias...)
		} else {
			names = append(names, name)
		}
	}
	return slices.Compact(names)
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
