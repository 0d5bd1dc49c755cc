package egresstest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// Messages are the resources of a view, as a sidecar receives them.
type Messages struct {
	Clusters  []*clusterv3.Cluster // those that every sidecar has, then those on demand
	Listeners []*listenerv3.Listener
	Routes    []*routev3.RouteConfiguration
}

// Make makes the resources of a view.
func Make(t testing.TB, v *egress.View) Messages {
	t.Helper()
	clusters, err := envoy.Clusters(v)
	kit.Must(t, err)
	for _, name := range v.Hosts() {
		r, ok, err := envoy.Cluster(v, name)
		kit.Must(t, err)
		h, declared := v.Host(name)
		if hasCluster := h.ByHost() || h.Passthrough || h.Static(); !declared || ok != hasCluster {
			t.Fatalf("cluster %s: %v", name, ok)
		}
		if ok {
			if r.Name != name {
				t.Fatalf("cluster %s is named %s", name, r.Name)
			}
			clusters = append(clusters, r)
		}
	}
	listeners, err := envoy.Listeners(v)
	kit.Must(t, err)
	routes, err := envoy.Routes(v)
	kit.Must(t, err)
	return Messages{
		unpack(t, clusters, func() *clusterv3.Cluster { return &clusterv3.Cluster{} }),
		unpack(t, listeners, func() *listenerv3.Listener { return &listenerv3.Listener{} }),
		unpack(t, routes, func() *routev3.RouteConfiguration { return &routev3.RouteConfiguration{} }),
	}
}

func unpack[T proto.Message](t testing.TB, all []envoy.Resource, empty func() T) []T {
	t.Helper()
	var out []T
	for _, r := range all {
		m := empty()
		kit.Must(t, r.Body.UnmarshalTo(m))
		out = append(out, m)
	}
	return out
}

// Validate has the real Envoy read the resources as a static configuration. The
// route configurations, which a sidecar fetches, are in listeners made for them.
func Validate(t testing.TB, program string, m Messages) {
	t.Helper()
	text, err := protojson.Marshal(m.Bootstrap(t))
	kit.Must(t, err)
	if out, ok := ValidateText(t, program, text); !ok || bytes.Contains(out, []byte("deprecated")) {
		t.Errorf("envoy --mode validate:\n%s", out)
	}
}

// ValidateText has the real Envoy read a configuration, and returns its output
// and whether it accepts it.
func ValidateText(t testing.TB, program string, text []byte) (output []byte, ok bool) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bootstrap.json")
	kit.Must(t, os.WriteFile(file, text, 0o600))
	output, err := exec.CommandContext(t.Context(), program, "--mode", "validate", "-c", file, "--log-level", "warning").CombinedOutput()
	return output, err == nil
}

// Bootstrap is a static configuration with the resources.
func (m Messages) Bootstrap(t testing.TB) *bootstrapv3.Bootstrap {
	t.Helper()
	xds := &clusterv3.Cluster{Name: "xds-grpc", ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}}
	out := &bootstrapv3.Bootstrap{
		Node: &corev3.Node{Id: "test", Cluster: "test"},
		DynamicResources: &bootstrapv3.Bootstrap_DynamicResources{AdsConfig: &corev3.ApiConfigSource{
			ApiType: corev3.ApiConfigSource_DELTA_GRPC, TransportApiVersion: corev3.ApiVersion_V3,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: xds.Name}}}},
		}},
		// As in the sidecar's own bootstrap.
		LayeredRuntime: &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
			Name: "static", LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: &structpb.Struct{
				Fields: map[string]*structpb.Value{"re2.max_program_size.error_level": structpb.NewNumberValue(32768)},
			}},
		}}},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{
			Clusters: append([]*clusterv3.Cluster{xds}, m.Clusters...), Listeners: slices.Clone(m.Listeners),
		},
	}
	for i, r := range m.Routes {
		out.StaticResources.Listeners = append(out.StaticResources.Listeners, routeListener(t, r, uint32(20000+i)))
	}
	return out
}

// routeListener is a listener with a route configuration.
func routeListener(t testing.TB, r *routev3.RouteConfiguration, port uint32) *listenerv3.Listener {
	t.Helper()
	pack := func(m proto.Message) *anypb.Any {
		a, err := anypb.New(m)
		kit.Must(t, err)
		return a
	}
	manager := &hcmv3.HttpConnectionManager{
		StatPrefix: "routes", RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: r},
		HttpFilters: []*hcmv3.HttpFilter{{Name: "envoy.filters.http.router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(&routerv3.Router{})}}},
	}
	return &listenerv3.Listener{
		Name: "routes " + r.Name,
		Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
		}}},
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name: "envoy.filters.network.http_connection_manager", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: pack(manager)},
		}}}},
	}
}
