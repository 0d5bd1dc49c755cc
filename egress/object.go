package egress

import (
	"fmt"
	"hash/fnv"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/outrider-mesh/outrider/internal/problem"
)

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
	return m.objects(func(e exports) bool { return e.to(namespace) })
}

// All are the objects of the model, in the same order.
func (m *Model) All() []Object { return m.objects(func(exports) bool { return true }) }

func (m *Model) objects(visible func(exports) bool) []Object {
	out := []Object{m.meshObject()}
	add := func(kind string, meta Meta, e exports) {
		if o := (Object{kind, meta}); visible(e) && out[len(out)-1] != o {
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
	n.visible, n.sums = nil, &sums{}
	if out(m.meshObject()) {
		n.mesh.AccessLog = n.mesh.AccessLog.withDefaultFormat()
	}
	return &n
}

// HostObject is the object that declares a host.
func HostObject(h Host) Object { return Object{KindServiceEntry, h.Meta} }

// addRejections adds the problems of objects as they are now.
func (m *Model) addRejections(all []Rejection, problems *problem.List) {
	if len(all) == 0 {
		return
	}
	current := map[Object]bool{}
	for _, o := range m.All() {
		current[o] = true
	}
	for _, r := range all {
		if current[r.Object] {
			problems.Add(r.problem())
		}
	}
}
