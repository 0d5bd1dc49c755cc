package egress

import (
	"github.com/tidwall/gjson"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// maxSpec bounds the size of an object: etcd rejects requests of more than 1.5 MiB.
const maxSpec = 3 << 19

// Decode decodes the spec of an object, JSON text, of kind KindServiceEntry,
// KindVirtualService or KindSidecar, into a message of networking/v1alpha3; nil if it is invalid.
// An unknown field makes the whole object invalid: without it, a route might match
// more requests than intended, or an entry allow more destinations.
func Decode(kind string, m Meta, spec []byte) (proto.Message, problem.List) {
	message := newSpec(kind)
	if protojson.Unmarshal(spec, message) == nil {
		return message, absent(m, spec, message)
	}
	// The strict decoder is slower, and reports every problem with its path.
	message = newSpec(kind)
	node, found := document.Load(string(spec), maxSpec)
	found = append(found, document.Message(node, "spec", message)...)
	if len(found) == 0 {
		return message, absent(m, spec, message) // a form that only the strict decoder accepts
	}
	var problems problem.List
	r := reporter{kind, m, &problems}
	for _, p := range found {
		r.add(p.On(0, 0)) // the text is not what the user wrote
	}
	return nil, problems
}

// absent are the problems of what the text does not have, which the message does not show.
func absent(m Meta, spec []byte, message proto.Message) problem.List {
	if s, ok := message.(*networkingv1alpha3.Sidecar); ok {
		return absentMode(m, spec, s)
	}
	return absentWeights(m, spec, message)
}

// absentMode warns about a policy without a mode. The first value of its enumeration is
// the one that blocks, and the message does not show that it was not stated.
func absentMode(m Meta, spec []byte, s *networkingv1alpha3.Sidecar) problem.List {
	if s.OutboundTrafficPolicy == nil {
		return nil
	}
	policy := gjson.GetBytes(spec, "outboundTrafficPolicy")
	if policy.Get("mode").Exists() {
		return nil
	}
	var out problem.List
	reporter{KindSidecar, m, &out}.warn("spec.outboundTrafficPolicy", "", "without mode it is REGISTRY_ONLY: undeclared hosts are blocked", "set mode, or remove outboundTrafficPolicy for that of the mesh")
	return out
}

func newSpec(kind string) proto.Message {
	switch kind {
	case KindServiceEntry:
		return &networkingv1alpha3.ServiceEntry{}
	case KindSidecar:
		return &networkingv1alpha3.Sidecar{}
	}
	return &networkingv1alpha3.VirtualService{}
}

// Add adds a spec that Decode returned to the objects, with the size of its text; nil
// adds nothing.
func (in *Input) Add(m Meta, spec proto.Message, bytes int) {
	switch s := spec.(type) {
	case *networkingv1alpha3.ServiceEntry:
		in.ServiceEntries = append(in.ServiceEntries, ServiceEntry{m, s, bytes})
	case *networkingv1alpha3.VirtualService:
		in.VirtualServices = append(in.VirtualServices, VirtualService{m, s, bytes})
	case *networkingv1alpha3.Sidecar:
		in.Sidecars = append(in.Sidecars, Sidecar{m, s, bytes})
	}
}

// Without is the objects without one, for another state of it to be added.
func (in Input) Without(kind string, m Meta) Input {
	in.ServiceEntries = without(in.ServiceEntries, kind == KindServiceEntry, m, func(e ServiceEntry) Meta { return e.Meta })
	in.VirtualServices = without(in.VirtualServices, kind == KindVirtualService, m, func(v VirtualService) Meta { return v.Meta })
	in.Sidecars = without(in.Sidecars, kind == KindSidecar, m, func(s Sidecar) Meta { return s.Meta })
	return in
}

// without is a copy of the objects that omits one.
func without[T any](all []T, same bool, one Meta, meta func(T) Meta) []T {
	out := make([]T, 0, len(all)+1)
	for _, other := range all {
		if m := meta(other); !same || m.Namespace != one.Namespace || m.Name != one.Name {
			out = append(out, other)
		}
	}
	return out
}
