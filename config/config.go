// Package config turns the two ConfigMaps of Istio's interface into types:
// istio-sidecar-injector (keys config and values) and istio (key mesh).
//
// Parse is strict and complete: an unknown key is a warning with its line and
// the nearest known key, a bad value an error with line and column, and all of
// them come back at once in a stable order. A text with an error yields no
// Config at all. Everything is a pure function of its arguments; a Config is
// never changed after Parse returns it and may be shared by goroutines.
//
// Files, each using only those before it: selector.go, config.go (the types),
// location.go, envoy.go, defaults.go, keytable.go and keys.go (the known keys), overlay.go (the user's
// values over the defaults), reader.go (one text and its problems), tree.go (values
// by path), names.go (named ranges), values.go, injection.go and mesh.go (the
// three texts), reference.go (the keys as documentation), parse.go, history.go (what is
// stored of earlier texts).
package config

import (
	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/cidr"
)

// Texts are the three documents, YAML or JSON. An empty one means the defaults.
type Texts struct {
	Config string // ConfigMap istio-sidecar-injector, key config
	Values string // ConfigMap istio-sidecar-injector, key values
	Mesh   string // ConfigMap istio, key mesh
}

// Labels name the source of each text in messages: a file's path, or a ConfigMap
// and key. An empty one is the ConfigMap's own name and key.
type Labels struct {
	Config, Values, Mesh string
}

// Config is one accepted configuration, with every default filled in.
type Config struct {
	Injection Injection
	Values    *Values
	// RawValues is the user's values merged over the built-in defaults, as
	// templates see them under .Values: whole numbers are int64, others
	// float64. Range and port lists are strings in Istio's form.
	RawValues map[string]any
	// Mesh has its defaults applied; DefaultConfig is never nil.
	Mesh *meshconfig.MeshConfig
	// Hash is 16 hexadecimal digits of the SHA-256 of a canonical form of the
	// three texts over the defaults: key order, comments and spacing do not
	// change it, and a default that changes does.
	Hash string

	meshText meshText
}

// maxText is the size of the largest text: a ConfigMap cannot hold more.
const maxText = 1 << 20

// The policies of injection.
const (
	policyEnabled  = "enabled"
	policyDisabled = "disabled"
)

// Injection is the key "config": who is injected, and with which templates.
type Injection struct {
	Policy                string     // "enabled" or "disabled": the default for pods that nothing else selects
	AlwaysInjectSelector  []Selector // OR-ed
	NeverInjectSelector   []Selector // OR-ed; takes precedence over AlwaysInjectSelector
	InjectedAnnotations   map[string]string
	DefaultTemplates      []string
	Templates             map[string]string   // the user's; BuiltinTemplate is added by inject when absent
	Aliases               map[string][]string // name -> templates, not followed further
	DefaultTemplatesGiven bool                // the text has some

	Source string           // the text it was read from, for messages about templates
	Places map[string]Place // of each template's key in that text
}

// Place is a position in a text, both from 1.
type Place struct{ Line, Column int }

// BuiltinTemplate is the template that exists without being configured.
const BuiltinTemplate = "sidecar"

// Values is the typed part of the key "values".
type Values struct {
	Revision       string
	Global         Global
	NativeSidecars string // pilot.env.ENABLE_NATIVE_SIDECARS: "", "true", "false" or "auto"

	Source string           // the text it was read from, for messages about range lists
	Places map[string]Place // of the keys that inject checks, where the user wrote them

	set map[string]bool // paths the user wrote, parents included
}

// Has reports whether the user's own text has the path, such as
// "global.proxy.includeIPRanges", with a value other than null.
func (v *Values) Has(path string) bool { return v != nil && v.set[path] }

// Global is values.global.
type Global struct {
	Hub, Tag         string
	Namespace        string // istioNamespace: where the control plane runs
	Variant          string // "", or of the proxy's image: default, debug, distroless
	LogAsJSON        bool
	ImagePullPolicy  string // "", Always, IfNotPresent, Never
	ImagePullSecrets []string
	Platform         string // "" and "auto": detected
	// PlatformFallback is what the name "cluster" resolves to if its ranges are
	// unknown; empty: it does not resolve.
	PlatformFallback cidr.List
	// NamedRanges are lists by names of the administrator's own.
	NamedRanges map[string]cidr.List
	Proxy       Proxy
	ProxyInit   ProxyInit
}

// Proxy is values.global.proxy.
type Proxy struct {
	AutoInject           string // enabled or disabled; the policy if the key "config" has none
	IncludeIPRanges      cidr.List
	ExcludeIPRanges      cidr.List
	IncludeOutboundPorts cidr.Ports
	ExcludeOutboundPorts cidr.Ports
	ExcludeInterfaces    []string

	Image             string // a name below Hub, or a full reference when it has a "/"
	LogLevel          string
	ComponentLogLevel string
	ClusterDomain     string

	Resources      *corev1.ResourceRequirements // nil: none
	Lifecycle      *corev1.Lifecycle            // nil: the template's own
	SeccompProfile *corev1.SeccompProfile       // nil: none

	Privileged                      bool
	HoldApplicationUntilProxyStarts bool

	StatusPort int32 // 0: the proxy has no probes; no other value has an effect

	ReadinessInitialDelaySeconds int32
	ReadinessPeriodSeconds       int32
	ReadinessFailureThreshold    int32
	StartupProbe                 StartupProbe
}

// StartupProbe is values.global.proxy.startupProbe.
type StartupProbe struct {
	Enabled          bool
	FailureThreshold int32
}

// ProxyInit is values.global.proxy_init.
type ProxyInit struct {
	Image     string
	Resources *corev1.ResourceRequirements // nil: none
}
