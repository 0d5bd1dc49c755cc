package egress

import (
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/document"
)

// maxSpec bounds an object's text: etcd takes no request of more than 1.5 MiB.
const maxSpec = 3 << 19

// Decode reads the spec of an object, JSON text, of kind KindServiceEntry or
// KindVirtualService, into a message of networking/v1alpha3; nil when it has a
// fault. A field that is not known makes the whole object a fault: without it, a
// route might match more than it should, or an entry open more.
func Decode(kind string, m Meta, spec []byte) (proto.Message, Problems) {
	message := newSpec(kind)
	if protojson.Unmarshal(spec, message) == nil {
		return message, nil
	}
	// The other reader is slower, and says what is wrong where.
	message = newSpec(kind)
	node, faults := document.Load(string(spec), maxSpec)
	faults = append(faults, document.Message(node, "spec", message)...)
	if len(faults) == 0 {
		return message, nil // a form that only the other reader takes
	}
	var problems Problems
	r := reporter{kind, m, &problems}
	for _, f := range faults {
		value := f.Value
		if text, err := strconv.Unquote(value); err == nil {
			value = text // a problem puts it in quotes itself
		}
		r.error(f.Path, value, f.Rule, f.Fix)
	}
	return nil, problems
}

func newSpec(kind string) proto.Message {
	if kind == KindServiceEntry {
		return &networkingv1alpha3.ServiceEntry{}
	}
	return &networkingv1alpha3.VirtualService{}
}

// Add puts a spec that Decode has read among the objects; nil adds nothing.
func (in *Input) Add(m Meta, spec proto.Message) {
	switch s := spec.(type) {
	case *networkingv1alpha3.ServiceEntry:
		in.ServiceEntries = append(in.ServiceEntries, ServiceEntry{m, s})
	case *networkingv1alpha3.VirtualService:
		in.VirtualServices = append(in.VirtualServices, VirtualService{m, s})
	}
}
