package egress

import (
	"bytes"
	"flag"
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
	"google.golang.org/protobuf/types/known/structpb"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/test/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

var update = flag.Bool("update", false, "write the golden files")

func meshOf(t testing.TB, text string) *Mesh {
	t.Helper()
	c, problems := config.Parse(config.Texts{Mesh: text}, config.Labels{})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return CompileMesh(c.Mesh)
}

// messages are a view's resources, as the sidecar sees them.
type messages struct {
	clusters  []*clusterv3.Cluster // the standing ones, then those on demand
	listeners []*listenerv3.Listener
	routes    []*routev3.RouteConfiguration
}

func messagesOf(t testing.TB, v *View) (m messages) {
	t.Helper()
	clusters, err := v.Clusters()
	kit.Must(t, err)
	for _, name := range v.Hosts() {
		r, ok, err := v.OnDemand(name)
		kit.Must(t, err)
		switch h := v.hosts[v.byCluster[name]]; {
		case ok != h.hasCluster():
			t.Fatalf("cluster %s: %v", name, ok)
		case ok && r.Name != name:
			t.Fatalf("cluster %s is named %s", name, r.Name)
		case ok:
			clusters = append(clusters, r)
		}
	}
	listeners, err := v.Listeners()
	kit.Must(t, err)
	routes, err := v.Routes()
	kit.Must(t, err)
	return messages{
		unpack(t, clusters, func() *clusterv3.Cluster { return &clusterv3.Cluster{} }),
		unpack(t, listeners, func() *listenerv3.Listener { return &listenerv3.Listener{} }),
		unpack(t, routes, func() *routev3.RouteConfiguration { return &routev3.RouteConfiguration{} }),
	}
}

func unpack[T proto.Message](t testing.TB, all []Resource, empty func() T) []T {
	t.Helper()
	var out []T
	for _, r := range all {
		m := empty()
		kit.Must(t, r.Body.UnmarshalTo(m))
		out = append(out, m)
	}
	return out
}

// TestGolden holds every case's resources against its files, and against the
// real Envoy.
func TestGolden(t *testing.T) {
	cases, err := filepath.Glob("testdata/*/input.yaml")
	kit.Must(t, err)
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	for _, file := range cases {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			in := load(t, file)
			model, problems := Build(in)
			kit.Must(t, problems.Err())
			m := messagesOf(t, model.View("default"))
			golden(t, filepath.Join(dir, "clusters.yaml"), m.clusters)
			golden(t, filepath.Join(dir, "listeners.yaml"), m.listeners)
			golden(t, filepath.Join(dir, "routes.yaml"), m.routes)
			validate(t, envoy.Require(t), m)
		})
	}
}

// golden compares messages with a file: one document each, with its name.
func golden[T named](t *testing.T, file string, all []T) {
	t.Helper()
	var got bytes.Buffer
	for _, m := range all {
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
		kit.Must(t, err)
		text, err = yaml.JSONToYAML(text)
		kit.Must(t, err)
		got.WriteString("---\n")
		got.Write(text)
	}
	if *update {
		kit.Must(t, os.WriteFile(file, got.Bytes(), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(want, got.Bytes()) {
		t.Errorf("%s differs from what is made (%v); look at it with: go test ./egress -run TestGolden -update && git diff", file, err)
	}
}

// validate has the real Envoy read the resources as it reads its own file. What
// it would fetch stands in the file too: routes in a listener made for them.
func validate(t *testing.T, program string, m messages) {
	t.Helper()
	text, err := protojson.Marshal(bootstrapOf(m))
	kit.Must(t, err)
	file := filepath.Join(t.TempDir(), "bootstrap.json")
	kit.Must(t, os.WriteFile(file, text, 0o600))
	out, err := exec.CommandContext(t.Context(), program, "--mode", "validate", "-c", file, "--log-level", "warning").CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("deprecated")) {
		t.Errorf("envoy --mode validate: %v\n%s", err, out)
	}
}

func bootstrapOf(m messages) *bootstrapv3.Bootstrap {
	b := &builder{}
	xds := &clusterv3.Cluster{Name: "xds-grpc", ClusterDiscoveryType: ofType(clusterv3.Cluster_STATIC)}
	out := &bootstrapv3.Bootstrap{
		Node: &corev3.Node{Id: "test", Cluster: "test"},
		DynamicResources: &bootstrapv3.Bootstrap_DynamicResources{AdsConfig: &corev3.ApiConfigSource{
			ApiType: corev3.ApiConfigSource_DELTA_GRPC, TransportApiVersion: corev3.ApiVersion_V3,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: xds.Name}}}},
		}},
		// As in the sidecar's own.
		LayeredRuntime: &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
			Name: "static", LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: &structpb.Struct{
				Fields: map[string]*structpb.Value{"re2.max_program_size.error_level": structpb.NewNumberValue(32768)},
			}},
		}}},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{
			Clusters: append([]*clusterv3.Cluster{xds}, m.clusters...), Listeners: slices.Clone(m.listeners),
		},
	}
	for i, r := range m.routes {
		manager := &hcmv3.HttpConnectionManager{
			StatPrefix: "routes", RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: r},
			HttpFilters: []*hcmv3.HttpFilter{b.httpFilter("envoy.filters.http.router", &routerv3.Router{})},
		}
		out.StaticResources.Listeners = append(out.StaticResources.Listeners, &listenerv3.Listener{
			Name: "routes " + r.Name, Address: socket("127.0.0.1", uint32(20000+i)),
			FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{b.filter("envoy.filters.network.http_connection_manager", manager)}}},
		})
	}
	return out
}
