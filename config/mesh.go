package config

import (
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/document"
)

// ineffectiveFields are the fields of MeshConfig that are valid and have no effect although
// users expect one on pods. The many other ignored fields give no warning.
var ineffectiveFields = map[string]ineffective{
	"enableTracing":               {[]string{"false"}, "the proxies send no traces", "remove it"},
	"enableEnvoyAccessLogService": {[]string{"false"}, "access logs go to a file or to standard output only", "use accessLogFile"},
	"inboundTrafficPolicy":        {nil, "inbound traffic is never captured", "remove it"},
}

// quietProxy are fields of defaultConfig that Istio's own installation sets, or
// that are only paths and addresses.
var quietProxy = []string{
	"binaryPath", "configPath", "controlPlaneAuthPolicy", "discoveryAddress", "meshId", "proxyAdminPort", "serviceCluster",
	"statNameLength", "statusPort", "tracing",
}

// mesh reads the key "mesh" and applies the defaults.
func (r *reader) mesh(n *document.Node) *meshconfig.MeshConfig {
	m := &meshconfig.MeshConfig{}
	r.add(document.Message(n, "", m)...)
	if n != nil {
		for _, f := range n.Fields {
			if note, ok := ineffectiveFields[f.Name]; ok {
				r.ineffective(f, f.Name, note)
			}
			if f.Name == "defaultConfig" || f.Name == "default_config" {
				r.defaultConfig(f.Value, f.Name, m.GetDefaultConfig())
			}
		}
	}
	applyMeshDefaults(m, func(path string) bool { return has(n, path) })
	return m
}

func (r *reader) defaultConfig(n *document.Node, path string, pc *meshconfig.ProxyConfig) {
	if n.Kind != document.Map || pc == nil {
		return
	}
	r.add(annotation.ProxyConfigProblems(n, path, pc)...)
	for _, p := range annotation.IgnoredProxyConfig(n, path) {
		if !slices.Contains(quietProxy, strings.TrimPrefix(p.Path, path+".")) {
			r.add(p)
		}
	}
}

// has reports whether the document has the path, in either spelling of
// protobuf's names, with a value other than null.
func has(n *document.Node, path string) bool {
	for _, name := range strings.Split(path, ".") {
		next := n.GetProto(name)
		if next == nil || next.Kind == document.Null {
			return false
		}
		n = next
	}
	return true
}
