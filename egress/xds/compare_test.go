package xds

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// BenchmarkCompare sends the same on-demand clusters to the same streams by this
// server and by go-control-plane's delta server, and changes all clusters. The
// streams are in memory: each message is encoded as gRPC would, and dropped. It
// prints per change the time until every stream has it and the bytes allocated,
// and the heap that the server and its streams retain and have at their peak.
// docs/decisions/0007 quotes the figures.
//
//	go test ./egress/xds -run ^$ -bench Compare -benchtime 5x
func BenchmarkCompare(b *testing.B) {
	const entries, streams = 1000, 200
	models := [2]*egress.Model{}
	for i, timeout := range []string{"10s", "11s"} {
		in := egress.Input{Mesh: meshOf(b, "REGISTRY_ONLY", "connectTimeout: "+timeout)}
		many(b, entries)(&in)
		models[i], _ = egress.Build(in)
	}
	for _, subscribed := range []int{20, entries} {
		for _, c := range []struct {
			name  string
			start func(*testing.B, [2]*egress.Model) (publish func(int), serve func(*memoryStream) error)
		}{{"outrider", ownServer}, {"go-control-plane", snapshotServer}} {
			b.Run(fmt.Sprintf("entries=%d/streams=%d/subscribed=%d/%s", entries, streams, subscribed, c.name), func(b *testing.B) {
				before := heap()
				publish, serve := c.start(b, models)
				publish(0)
				received := make(chan int, streams)
				for range streams {
					connect(b, serve, received, subscribed)
				}
				waitForAll(received, streams*subscribed)
				retained := heap() - before
				peak := samplePeak(b)
				b.ResetTimer()
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					publish((i + 1) % 2)
					waitForAll(received, streams*subscribed)
				}
				b.ReportMetric(float64(retained)/(1<<20), "retained-MiB")
				b.ReportMetric(float64(peak()-before)/(1<<20), "peak-MiB")
			})
		}
	}
}

func ownServer(_ *testing.B, models [2]*egress.Model) (func(int), func(*memoryStream) error) {
	s := New(AuthenticatorFunc(func(context.Context, string) (Identity, error) { return Identity{Namespace: "shop"}, nil }), Observer{}, Limits{StreamsPerPod: 1 << 20, StreamsPerNamespace: 1 << 20, NamespaceBytes: 1 << 40})
	return func(i int) { s.Publish(models[i]) }, func(st *memoryStream) error { return s.serve(st) }
}

// sameSnapshot puts all nodes in one group.
type sameSnapshot struct{}

func (sameSnapshot) ID(*corev3.Node) string { return "shop" }

// snapshotServer has its snapshots prepared: it does not make the clusters while
// it is measured.
func snapshotServer(b *testing.B, models [2]*egress.Model) (func(int), func(*memoryStream) error) {
	snapshots := [2]*cachev3.Snapshot{}
	for i, m := range models {
		v := m.View("shop")
		var clusters []types.Resource
		for _, name := range v.Hosts() {
			r, found, err := envoy.Cluster(v, name)
			kit.Must(b, err)
			if !found {
				continue
			}
			message := &clusterv3.Cluster{}
			kit.Must(b, proto.Unmarshal(r.Body.Value, message))
			clusters = append(clusters, message)
		}
		var err error
		snapshots[i], err = cachev3.NewSnapshot(fmt.Sprint(i), map[resourcev3.Type][]types.Resource{resourcev3.ClusterType: clusters})
		kit.Must(b, err)
	}
	cache := cachev3.NewSnapshotCache(true, sameSnapshot{}, nil)
	s := serverv3.NewServer(b.Context(), cache, nil)
	return func(i int) {
			snapshots[i].VersionMap = nil // of a new snapshot it is not known yet
			kit.Must(b, cache.SetSnapshot(b.Context(), "shop", snapshots[i]))
		}, func(st *memoryStream) error {
			return s.DeltaAggregatedResources(st)
		}
}

// memoryStream is the server's side of a stream whose client subscribes once and
// acknowledges every response.
type memoryStream struct {
	grpc.ServerStream
	ctx      context.Context
	requests chan *discoveryv3.DeltaDiscoveryRequest
	received chan<- int
}

func connect(b *testing.B, serve func(*memoryStream) error, received chan<- int, subscribed int) {
	ctx, cancel := context.WithCancel(metadata.NewIncomingContext(context.Background(), metadata.Pairs("authorization", "Bearer shop")))
	st := &memoryStream{ctx: ctx, requests: make(chan *discoveryv3.DeltaDiscoveryRequest, 8), received: received}
	names := make([]string, subscribed)
	for i := range names {
		names[i] = egress.ClusterName(80, fmt.Sprintf("host-%d.gen.test", i))
	}
	st.requests <- &discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: "sidecar"}, TypeUrl: envoy.TypeCluster, ResourceNamesSubscribe: names}
	var running sync.WaitGroup
	running.Go(func() { _ = serve(st) })
	b.Cleanup(func() { cancel(); running.Wait() })
}

func (s *memoryStream) Context() context.Context { return s.ctx }

func (s *memoryStream) RecvMsg(m any) error {
	r, err := s.Recv()
	if err == nil {
		proto.Merge(m.(proto.Message), r)
	}
	return err
}

func (s *memoryStream) Recv() (*discoveryv3.DeltaDiscoveryRequest, error) {
	select {
	case r := <-s.requests:
		return r, nil
	case <-s.ctx.Done():
		return nil, io.EOF
	}
}

// Send is how go-control-plane sends, SendMsg how this server does.
func (s *memoryStream) Send(r *discoveryv3.DeltaDiscoveryResponse) error { return s.SendMsg(r) }

func (s *memoryStream) SendMsg(m any) error {
	encoded, err := codec{}.Marshal(m)
	if err != nil {
		return err
	}
	runtime.KeepAlive(encoded)
	nonce, n := "", 0
	switch r := m.(type) {
	case *response:
		nonce, n = r.nonce, len(r.entries)
	case *discoveryv3.DeltaDiscoveryResponse:
		nonce, n = r.Nonce, len(r.Resources)
	}
	s.requests <- &discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeCluster, ResponseNonce: nonce}
	s.received <- n
	return nil
}

// waitForAll waits until the streams have received a number of resources.
func waitForAll(received <-chan int, resources int) {
	for resources > 0 {
		resources -= <-received
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// samplePeak samples the heap every few milliseconds until peak is called.
func samplePeak(b *testing.B) (peak func() int64) {
	b.Helper()
	stop, done := make(chan struct{}), make(chan int64)
	go func() {
		most := int64(0)
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, int64(m.HeapAlloc))
			select {
			case <-tick.C:
			case <-stop:
				tick.Stop()
				done <- most
				return
			}
		}
	}()
	return func() int64 { close(stop); return <-done }
}
