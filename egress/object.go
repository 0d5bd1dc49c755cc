package egress

import (
	"fmt"
	"hash/fnv"
	"slices"

	"google.golang.org/protobuf/proto"
)

// Object is one state of an object: another generation of it is another Object. That
// of the mesh configuration is its access log, the only text of it that sidecars
// get.
type Object struct {
	Kind string
	Meta Meta
}

// Source is the source of the object's problems.
func (o Object) Source() string { return Source(o.Kind, o.Meta) }

// meshObject is the state of the mesh configuration. Its generation is a hash.
func (m *Model) meshObject() Object {
	h := fnv.New64a()
	fields, _ := proto.MarshalOptions{Deterministic: true}.Marshal(m.mesh.AccessLog.Fields)
	fmt.Fprintf(h, "%q %q %q", m.mesh.AccessLog.File, m.mesh.AccessLog.Text, fields)
	return Object{KindMesh, Meta{Generation: int64(h.Sum64())}}
}

// Objects are the objects that the view of a namespace may depend on, in an order in
// which what depends on another follows it: the mesh configuration, ServiceEntries,
// VirtualServices, the oldest of each first.
func (m *Model) Objects(namespace string) []Object {
	out := []Object{m.meshObject()}
	add := func(kind string, meta Meta, e exports) {
		if o := (Object{kind, meta}); e.to(namespace) && out[len(out)-1] != o {
			out = append(out, o)
		}
	}
	for _, h := range m.hosts {
		add(KindServiceEntry, h.Meta, h.exports)
	}
	for _, r := range m.routes {
		add(KindVirtualService, r.meta, r.exports)
	}
	return out
}

// Without is the model without some objects. Without the mesh configuration, the
// access log has the default format.
func (m *Model) Without(out func(Object) bool) *Model {
	n := *m
	n.hosts = slices.DeleteFunc(slices.Clone(m.hosts), func(h Host) bool { return out(Object{KindServiceEntry, h.Meta}) })
	n.routes = slices.DeleteFunc(slices.Clone(m.routes), func(r hostRoutes) bool { return out(Object{KindVirtualService, r.meta}) })
	if out(m.meshObject()) {
		n.mesh.AccessLog = n.mesh.AccessLog.withDefaultFormat()
	}
	return &n
}

// HostObject is the object that declares a host.
func HostObject(h Host) Object { return Object{KindServiceEntry, h.Meta} }
