package envoy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/outrider-mesh/outrider/egress"
)

// The types of resources, in the order in which they are sent: what a resource
// refers to is sent before it.
const (
	TypeCluster  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	TypeListener = "type.googleapis.com/envoy.config.listener.v3.Listener"
	TypeRoute    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
)

// Resource is one of Envoy's resources.
type Resource struct {
	Name    string
	Version string // 16 hexadecimal digits of the hash of Body
	Body    *anypb.Any
}

// named is every message that is a resource.
type named interface {
	proto.Message
	GetName() string
}

func resource(m named) (Resource, error) {
	body, err := pack(m)
	if err != nil {
		return Resource{}, fmt.Errorf("marshal %s: %w", m.GetName(), err)
	}
	sum := sha256.Sum256(body.Value)
	return Resource{Name: m.GetName(), Version: hex.EncodeToString(sum[:8]), Body: body}, nil
}

func resources[T named](messages []T) ([]Resource, error) {
	out := make([]Resource, 0, len(messages))
	for _, m := range messages {
		r, err := resource(m)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func pack(m proto.Message) (*anypb.Any, error) {
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	return &anypb.Any{TypeUrl: "type.googleapis.com/" + string(m.ProtoReflect().Descriptor().FullName()), Value: value}, nil
}

// builder makes messages and keeps the first error.
type builder struct {
	view      *egress.View
	mesh      egress.Mesh
	err       error
	cacheHash string // of the settings of the caches of names, once it is computed
}

func newBuilder(v *egress.View) *builder { return &builder{view: v, mesh: v.Mesh()} }

func (b *builder) pack(m proto.Message) *anypb.Any {
	a, err := pack(m)
	if err != nil && b.err == nil {
		b.err = fmt.Errorf("marshal %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return a
}

func (b *builder) typed(name string, config proto.Message) *xdscorev3.TypedExtensionConfig {
	return &xdscorev3.TypedExtensionConfig{Name: name, TypedConfig: b.pack(config)}
}

func (b *builder) filter(name string, config proto.Message) *listenerv3.Filter {
	return &listenerv3.Filter{Name: name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: b.pack(config)}}
}

func (b *builder) httpFilter(name string, config proto.Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: b.pack(config)}}
}
