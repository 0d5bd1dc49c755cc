package config

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	meshconfig "istio.io/api/mesh/v1alpha1"
)

// Keys are the known keys of the values, by path. Below one of TypeAny, keys are not
// checked.
func Keys() []Key {
	var out []Key
	for _, k := range usedKeys {
		k.Effect = !strings.HasPrefix(k.About, "Only read")
		out = append(out, k)
	}
	for path, kind := range valueKeys.kind {
		if kind != keySilent {
			continue
		}
		k := Key{Path: path, Type: TypeAny, About: "No effect: accepted because Istio's chart has it."}
		if note, ok := ineffectiveKeys[path]; ok && note.why != "" {
			k.About, k.Quiet = noEffect(note), note.quiet
		}
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b Key) int { return cmp.Compare(a.Path, b.Path) })
	return out
}

// InjectionKeys are the keys of the ConfigMap's key "config".
func InjectionKeys() []string { return slices.Clone(injectionKeys) }

func noEffect(note ineffective) string { return "No effect: " + note.why + "; " + note.fix + "." }

// aboutMesh describes the fields of effectiveMeshFields.
var aboutMesh = map[string]string{
	"accessLogEncoding":             "Encoding of the proxies' access log.",
	"accessLogFile":                 "File of the proxies' access log, such as /dev/stdout. Empty: no access log.",
	"accessLogFormat":               "Format of a line of the access log; for JSON, an object of strings.",
	"connectTimeout":                "Time for a connection of the proxy to a destination.",
	"defaultConfig":                 "ProxyConfig of all proxies; the annotation proxy.istio.io/config of a pod takes precedence.",
	"defaultServiceExportTo":        "Namespaces that see a ServiceEntry without exportTo.",
	"defaultVirtualServiceExportTo": "Namespaces that see a VirtualService without exportTo.",
	"serviceEntryVisibility":        "Who sees a ServiceEntry at most, by the labels of its namespace; requires applyToSidecars.",
	"outboundTrafficPolicy":         "What happens to traffic to undeclared hosts: mode ALLOW_ANY or REGISTRY_ONLY.",
	"protocolDetectionTimeout":      "Time that the proxy waits for the first bytes of a connection.",
	"rootNamespace":                 "Namespace of the mesh's administrator, whose objects take precedence over those of other namespaces.",
}

// MeshField is a field of MeshConfig.
type MeshField struct {
	Descriptor protoreflect.FieldDescriptor
	About      string
	Effect     bool
	Quiet      []string // as those of a Key
}

// MeshFields are the fields of MeshConfig, by name.
func MeshFields() (out []MeshField) {
	fields := (&meshconfig.MeshConfig{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := MeshField{Descriptor: fields.Get(i)}
		name := f.Descriptor.JSONName()
		if f.About, f.Effect = aboutMesh[name]; !f.Effect {
			f.About, f.Quiet = noEffect(ineffectiveMeshFields[name]), ineffectiveMeshFields[name].quiet
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b MeshField) int {
		return cmp.Compare(a.Descriptor.JSONName(), b.Descriptor.JSONName())
	})
	return out
}
