package inject

import (
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/internal/problem"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
)

// Settings is everything the templates depend on besides the pod itself, each
// value resolved by the order annotation, ConfigMap, default. Settings are
// shared between pods that resolve alike and must not be changed.
type Settings struct {
	InterceptionMode string // "REDIRECT" or "NONE"

	// The outbound redirect. An annotation replaces the global value, it never
	// adds to it; present but empty captures nothing; exclude wins over include.
	IncludeIPRanges   cidr.List
	ExcludeIPRanges   cidr.List
	IncludePorts      cidr.Ports
	ExcludePorts      cidr.Ports
	ExcludeInterfaces []string

	ProxyPort     int32 // where captured connections go
	NativeSidecar bool
	HoldApp       bool  // holdApplicationUntilProxyStarts; always the case with a native sidecar
	ProxyUID      int64 // the uid whose own traffic is not redirected
	ProxyGID      int64
	ExemptGID     bool // the gid's own traffic is not redirected either

	ProxyImage        string
	InitImage         string
	LogLevel          string
	ComponentLogLevel string
	Resources         corev1.ResourceRequirements
	Concurrency       int32 // worker threads of the proxy; 0 means one a core
	Volumes           []corev1.Volume
	VolumeMounts      []corev1.VolumeMount
	ProxyConfig       *meshconfig.ProxyConfig
	Templates         []string // names, aliases resolved, in order

	// List is the same for users and for the status annotation: every setting by name,
	// with its value as text and its source, in a fixed order.
	List []Setting

	// grace is the pod's terminationGracePeriodSeconds: the API server rejects a preStop hook
	// that sleeps longer.
	grace int64

	notes      problem.List      // warnings about settings without an effect
	bypasses   problem.List      // warnings about what is not captured
	unpoliced  problem.List      // warnings about what REGISTRY_ONLY does not apply to
	namedLists map[string]string // lists without their names, by the annotation they are in
}

// Setting is one resolved setting.
type Setting struct {
	Name   string // e.g. "includeOutboundIPRanges"
	Value  string // normal form
	Source Source
}

// Source is where a value came from: the annotation's name with its kind, the
// ConfigMap's key path, a fact about the cluster, or "default".
type Source string

// The sources that are not an annotation or a key of the values.
const (
	SourceDefault     Source = "default"
	SourceConfigMap   Source = "ConfigMap istio-sidecar-injector config"
	SourceMesh        Source = "ConfigMap istio mesh"
	SourceKubernetes  Source = "Kubernetes version"
	SourceNamespace   Source = "namespace annotation"
	SourceContainer   Source = "container istio-proxy of the pod"
	sourceTemplate    Source = "template"
	sourceAnnotation         = "annotation "
	sourceValues             = "ConfigMap istio-sidecar-injector values "
	valuesIncludeIP          = "global.proxy.includeIPRanges"
	valuesExcludeIP          = "global.proxy.excludeIPRanges"
	valuesIncludePort        = "global.proxy.includeOutboundPorts"
	valuesExcludePort        = "global.proxy.excludeOutboundPorts"
	valuesPlatform           = "global.platform"
	valuesNative             = "pilot.env.ENABLE_NATIVE_SIDECARS"
)

func fromAnnotation(name string) Source { return Source(sourceAnnotation + name) }

func fromValues(path string) Source { return Source(sourceValues + path) }

// Origin is a Source taken apart.
type Origin struct {
	Kind OriginKind
	// Name is the annotation's name, or the key's path.
	Name string
	// Evidence is the source of the ranges of names in a list.
	Evidence string
}

// OriginKind is where a value is.
type OriginKind int

// The kinds of origins.
const (
	OriginDefault    OriginKind = iota // no text has it
	OriginCluster                      // the cluster's version, or its namespace's annotations
	OriginAnnotation                   // an annotation of the pod
	OriginContainer                    // a container of the pod
	OriginConfig                       // ConfigMap istio-sidecar-injector, key config
	OriginValues                       // ConfigMap istio-sidecar-injector, key values
	OriginMesh                         // ConfigMap istio, key mesh
)

// Origin takes the source of the setting apart.
func (s Setting) Origin() Origin {
	text, evidence, _ := strings.Cut(string(s.Source), " (")
	o := Origin{Evidence: strings.TrimSuffix(evidence, ")")}
	if name, ok := strings.CutPrefix(text, sourceAnnotation); ok {
		o.Kind, o.Name = OriginAnnotation, name
		return o
	}
	if path, ok := strings.CutPrefix(text, sourceValues); ok {
		o.Kind, o.Name = OriginValues, path
		return o
	}
	switch Source(text) {
	case SourceConfigMap:
		o.Kind, o.Name = OriginConfig, "defaultTemplates"
	case SourceMesh:
		o.Kind, o.Name = OriginMesh, "defaultConfig."+s.Name
	case SourceContainer:
		o.Kind, o.Name = OriginContainer, "istio-proxy"
	case SourceKubernetes, SourceNamespace:
		o.Kind = OriginCluster
	}
	return o
}

// Setting returns the setting with a name, the zero value when there is none.
func (s *Settings) Setting(name string) Setting {
	for _, e := range s.List {
		if e.Name == name {
			return e
		}
	}
	return Setting{}
}

// InitArgs are the arguments of the init container, in istio-iptables' flag
// letters. Empty values stay as empty arguments: they mean "none", which an omitted
// flag would not.
func (s *Settings) InitArgs() []string {
	args := []string{
		"istio-iptables",
		"-p", formatInt(int64(s.ProxyPort)),
		"-z", "15006",
		"-u", formatInt(s.ProxyUID),
		"-g", s.exemptGroup(),
		"-m", s.InterceptionMode,
	}
	args = appendLists(args, "-i", s.IncludeIPRanges)
	args = appendLists(args, "-x", s.ExcludeIPRanges)
	return append(args,
		"-b", "", // inbound traffic is never captured
		"-d", "",
		"-q", s.IncludePorts.String(),
		"-o", s.ExcludePorts.String(),
		"-c", strings.Join(s.ExcludeInterfaces, ","),
	)
}

// exemptGroup is the group whose connections are not redirected: none unless the pod asks
// for it, as the sidecar's uid is exempt anyway, and a file of the application's with the
// set-group-ID bit would let every process have the group.
func (s *Settings) exemptGroup() string {
	if s.ExemptGID {
		return formatInt(s.ProxyGID)
	}
	return ""
}

// maxArgument keeps one argument below the kernel's limit: 128 KiB
// (MAX_ARG_STRLEN, 32 pages), the ending NUL included.
const maxArgument = 100 << 10

// appendLists adds a range list as one argument, or, when that would be longer than
// the kernel allows, as the same flag several times, which
// outrider-init joins.
func appendLists(args []string, flag string, list cidr.List) []string {
	rest := list.String()
	for len(rest) > maxArgument {
		at := strings.LastIndexByte(rest[:maxArgument], ',')
		args = append(args, flag, rest[:at])
		rest = rest[at+1:]
	}
	return append(args, flag, rest)
}

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }
