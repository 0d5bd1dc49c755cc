package annotation

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	meshconfig "istio.io/api/mesh/v1alpha1"
)

// OverlayProxyConfig is base with every field that overlay sets: mappings
// (proxyMetadata) key by key, messages field by field, everything else
// replaced. Neither argument is changed. It is not proto.Merge, which treats a
// set zero as absent: "concurrency: 0", "terminationDrainDuration: 0s" and
// "holdApplicationUntilProxyStarts: false" would be lost.
func OverlayProxyConfig(base, overlay *meshconfig.ProxyConfig) *meshconfig.ProxyConfig {
	out := proto.Clone(base).(*meshconfig.ProxyConfig)
	overlayMessage(out.ProtoReflect(), overlay.ProtoReflect())
	return out
}

func overlayMessage(to, from protoreflect.Message) {
	from.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			m := to.Mutable(fd).Map()
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				m.Set(k, v)
				return true
			})
		case fd.IsList():
			list := to.NewField(fd).List()
			for i := range v.List().Len() {
				list.Append(v.List().Get(i))
			}
			to.Set(fd, protoreflect.ValueOfList(list))
		case fd.Message() != nil && !strings.HasPrefix(string(fd.Message().FullName()), "google.protobuf."):
			overlayMessage(to.Mutable(fd).Message(), v.Message())
		case fd.Message() != nil:
			to.Set(fd, protoreflect.ValueOfMessage(proto.Clone(v.Message().Interface()).ProtoReflect()))
		default:
			to.Set(fd, v)
		}
		return true
	})
}
