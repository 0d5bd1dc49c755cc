package config

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// mesh reads the key "mesh" and applies the defaults.
func (r *reader) mesh(n *document.Node) *meshconfig.MeshConfig {
	m := &meshconfig.MeshConfig{}
	if n != nil {
		n = r.unwrap(n, meshWrapper)
		mode := n.Get("outboundTrafficPolicy").Get("mode")
		applies := mode != nil && losesPolicy(document.Field{Value: mode})
		fields := map[Place]document.Field{}
		fieldsByPlace(n, fields)
		for _, p := range document.Message(n, "", m) {
			if f, ok := fields[Place{p.Line, p.Column}]; p.Type == problem.TypeUnknown && ok && !applies && losesPolicy(f) {
				p = lostPolicy(p, meshWrapper.key)
			}
			r.add(p)
		}
		r.ineffectiveFields(n, m)
	}
	m.ProxyListenPort = ListenPort
	applyMeshDefaults(m, func(path string) bool { return has(n, path) })
	return m
}

// ListenPort is the port that captured connections are redirected to. It is an
// argument of the init container of every pod that runs, so the mesh cannot move it.
const ListenPort = 15001

// fieldsByPlace adds the fields of a value by where their names are; of several at one
// place, by an alias, the first.
func fieldsByPlace(n *document.Node, out map[Place]document.Field) {
	for _, item := range n.Items {
		fieldsByPlace(item, out)
	}
	for _, f := range n.Fields {
		if _, has := out[Place{f.Line, f.Column}]; !has {
			out[Place{f.Line, f.Column}] = f
		}
		fieldsByPlace(f.Value, out)
	}
}

// ineffectiveFields warns about the fields that are valid and have no effect.
func (r *reader) ineffectiveFields(n *document.Node, m *meshconfig.MeshConfig) {
	for _, f := range n.Fields {
		fd := meshField(f.Name)
		switch {
		case fd == nil:
		case fd.JSONName() == "defaultConfig":
			r.defaultConfig(f.Value, f.Name, m.GetDefaultConfig())
		case fd.JSONName() == "outboundTrafficPolicy":
			r.outboundPolicy(f)
		case slices.Contains(effectiveMeshFields, fd.JSONName()):
		case r.templatesRead(".MeshConfig." + goName(fd)), fd.JSONName() == "inboundTrafficPolicy" && r.templatesRead(".InboundTrafficPolicyMode"):
		default:
			note, ok := ineffectiveMeshFields[fd.JSONName()]
			if !ok { // newer than the table
				note = ineffective{nil, "the proxies do not use it", "remove it"}
			}
			r.ineffective(f, f.Name, note)
		}
	}
}

// outboundPolicy warns about what is not supported of the policy.
func (r *reader) outboundPolicy(policy document.Field) {
	for _, f := range policy.Value.Fields {
		switch {
		case f.Name == "mode" && f.Value.Text == meshconfig.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY_DYNAMIC_DNS.String():
			r.ineffective(f, document.Join(policy.Name, f.Name), ineffective{nil, "not supported, the mode is ALLOW_ANY: " +
				"a connection to an undeclared host goes to the address that the application chose", "set ALLOW_ANY"})
		case f.Name == "tls":
			r.ineffective(f, document.Join(policy.Name, f.Name), ineffective{nil, whyTLS, "remove it"})
		}
	}
}

// meshField is the field of MeshConfig with a name, in either spelling of
// protobuf's names, or nil.
func meshField(name string) protoreflect.FieldDescriptor {
	known := (&meshconfig.MeshConfig{}).ProtoReflect().Descriptor().Fields()
	if fd := known.ByJSONName(name); fd != nil {
		return fd
	}
	return known.ByTextName(name)
}

// goName is a field's name in templates.
func goName(fd protoreflect.FieldDescriptor) string {
	name := fd.JSONName()
	return strings.ToUpper(name[:1]) + name[1:]
}

func (r *reader) defaultConfig(n *document.Node, path string, pc *meshconfig.ProxyConfig) {
	if n.Kind != document.Map || pc == nil {
		return
	}
	r.add(annotation.ProxyConfigProblems(n, path, pc)...)
	if r.templatesRead("JSON .ProxyConfig") { // a template that hands it to an agent
		return
	}
	for _, p := range annotation.IgnoredProxyConfig(n, path) {
		name := strings.TrimPrefix(p.Path, path+".")
		if v := n.Get(name); v == nil || !slices.Contains(quietProxyValues[name], v.Text) && compact(v) != "{}" && compact(v) != "[]" {
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
