package envoy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/outrider-mesh/outrider/egress"
)

// The types of resources, in the order in which they are sent: what a resource
// refers to goes before it.
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
	view *egress.View
	mesh egress.Mesh
	err  error
}

func newBuilder(v *egress.View) *builder { return &builder{view: v, mesh: v.Mesh()} }

func (b *builder) pack(m proto.Message) *anypb.Any {
	a, err := pack(m)
	if err != nil && b.err == nil {
		b.err = fmt.Errorf("marshal %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return a
}

// Clusters are those that every sidecar has from the start.
func Clusters(v *egress.View) ([]Resource, error) {
	b := newBuilder(v)
	return finish(b, b.standingClusters())
}

// Cluster is the cluster that a sidecar asks for by name when a host is first
// used; ok is false where the namespace sees no such host, or one that needs no
// cluster of its own.
func Cluster(v *egress.View, name string) (r Resource, ok bool, err error) {
	h, ok := v.Host(name)
	if !ok || !hasCluster(h) {
		return Resource{}, false, nil
	}
	b := newBuilder(v)
	r, err = resource(b.onDemandCluster(h))
	if err == nil {
		err = b.err
	}
	return r, err == nil, err
}

// Listeners are all listeners, sorted by port.
func Listeners(v *egress.View) ([]Resource, error) {
	b := newBuilder(v)
	return finish(b, b.listeners())
}

// Routes are the route configurations of the listeners.
func Routes(v *egress.View) ([]Resource, error) {
	b := newBuilder(v)
	return finish(b, b.routeConfigurations())
}

// Route is one route configuration. A port on which nothing is declared any
// more has one too: connections that its listener accepted may still be open,
// and must not reach the hosts that are no longer declared.
func Route(v *egress.View, name string) (r Resource, ok bool, err error) {
	b := newBuilder(v)
	var domains []egress.Domain
	if name != catchAllRoute {
		n, err := strconv.ParseUint(name, 10, 16)
		if err != nil || strconv.FormatUint(n, 10) != name {
			return Resource{}, false, nil
		}
		domains = v.Domains(uint32(n))
	}
	r, err = resource(b.routeConfiguration(name, domains))
	return r, err == nil, err
}

func finish[T named](b *builder, messages []T) ([]Resource, error) {
	if b.err != nil {
		return nil, b.err
	}
	return resources(messages)
}
