package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// loadFleet are simulated sidecars, in the process of the test. Each has connections of
// its own, from an address of its own, with the token of its own pod: one for its
// configuration, which it acknowledges, with 5 hosts in use, and for its counts; and one for
// each of two worker threads that report, until the control plane has it count.
type loadFleet struct {
	t       testing.TB
	world   *loadWorld
	address string

	ctx        context.Context
	cancel     context.CancelFunc
	running    sync.WaitGroup
	sidecars   []*loadSidecar
	node       *corev3.Node
	identifier []byte // before the first message of a stream of reports or counts
	looked     atomic.Pointer[sighting]

	// of reports; connections that are counted by sidecars; streams that were opened again.
	messages, entries, counted, reconnects atomic.Int64
	reporters                              atomic.Int64 // connections of worker threads
}

// sighting counts the sidecars that receive a text for the first time.
type sighting struct {
	text []byte
	want int64
	seen atomic.Int64
	done chan struct{}
}

func newLoadFleet(w *loadWorld, address string) *loadFleet {
	f := &loadFleet{t: w.t, world: w, address: address, node: &corev3.Node{Id: "sidecar", UserAgentName: strings.Repeat("e", loadNode)}}
	f.identifier = loadIdentifier(w.t, f.node)
	f.ctx, f.cancel = context.WithCancel(w.t.Context())
	w.t.Cleanup(f.stop)
	return f
}

func (f *loadFleet) stop() {
	f.cancel()
	f.running.Wait()
}

// connect connects sidecars, and returns when all have their configuration.
func (f *loadFleet) connect(pods []loadPod) (took time.Duration) {
	f.t.Helper()
	began := time.Now()
	const atOnce = 100
	slots := make(chan struct{}, atOnce)
	for i, p := range pods {
		slots <- struct{}{}
		started := sync.OnceFunc(func() { <-slots })
		of := &loadSidecar{number: i, pod: p, counts: map[string]*uint64{}}
		f.sidecars = append(f.sidecars, of)
		f.running.Go(func() {
			defer started()
			for f.ctx.Err() == nil { // as Envoy does
				if err := f.sidecar(of, started); status.Code(err) != codes.Unavailable && f.ctx.Err() == nil {
					f.t.Errorf("%s/%s: %v", p.namespace, p.name, err)
					return
				}
				f.reconnects.Add(1)
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
	for range atOnce {
		slots <- struct{}{}
	}
	if f.t.Failed() {
		f.t.FailNow()
	}
	return time.Since(began)
}

// dial connects from the address of a sidecar.
func (f *loadFleet) dial(i int, p loadPod) (*grpc.ClientConn, context.Context, error) {
	token, err := f.world.token(p)
	if err != nil {
		return nil, nil, err
	}
	source := &net.TCPAddr{IP: net.IPv4(127, byte(10+i>>16), byte(i>>8), byte(i))}
	const readBuffer, record = 4 << 10, 16 << 10 // Envoy fills records of TLS, and what receives them keeps a buffer of that size
	conn, err := grpc.NewClient(f.address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true})),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{LocalAddr: source}).DialContext(ctx, "tcp", address)
		}),
		grpc.WithReadBufferSize(readBuffer), grpc.WithWriteBufferSize(record),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.ForceCodecV2(loadCodec{f})))
	return conn, metadata.AppendToOutgoingContext(f.ctx, "authorization", "Bearer "+token), err
}

// sidecar receives and acknowledges configuration until the fleet stops.
func (f *loadFleet) sidecar(of *loadSidecar, started func()) error {
	conn, ctx, err := f.dial(of.number, of.pod)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources")
	if err != nil {
		return err
	}
	runtime := &discoveryv3.DeltaDiscoveryRequest{Node: f.node, TypeUrl: envoy.TypeRuntime, ResourceNamesSubscribe: []string{egress.RuntimeName}}
	if of.counters.Load() {
		runtime.InitialResourceVersions = map[string]string{egress.RuntimeName: string(envoy.ReportCounters)}
	}
	for _, r := range append([]*discoveryv3.DeltaDiscoveryRequest{runtime}, subscriptions("shared")...) {
		if err := s.SendMsg(r); err != nil {
			return errors.Join(err, s.RecvMsg(&loadResponse{}))
		}
	}
	types, counted, counts := map[string]bool{}, (*sighting)(nil), false
	for {
		var r loadResponse
		if err := s.RecvMsg(&r); err != nil {
			return err
		}
		if err := s.SendMsg(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.typeURL, ResponseNonce: r.nonce}); err != nil {
			return err
		}
		if r.typeURL == envoy.TypeRuntime {
			of.setMode(r.version)
			continue
		}
		if types[r.typeURL] = true; len(types) == 3 {
			started()
		}
		if !counts {
			counts = true
			f.running.Go(func() { f.sendCounts(ctx, conn, of) })
		}
		if r.sees != nil && r.sees != counted {
			counted = r.sees
			if counted.seen.Add(1) == counted.want {
				close(counted.done)
			}
		}
	}
}

// look begins to count the sidecars that receive a text.
func (f *loadFleet) look(text string, want int) *sighting {
	s := &sighting{text: []byte(text), want: int64(want), done: make(chan struct{})}
	f.looked.Store(s)
	return s
}

// reach changes something, and returns how long it takes until so many sidecars have
// received the text.
func (f *loadFleet) reach(text string, want int, change func() error) time.Duration {
	f.t.Helper()
	s := f.look(text, want)
	defer f.looked.Store(nil)
	began := time.Now()
	kit.Must(f.t, change())
	const most = 2 * time.Minute
	select {
	case <-s.done:
	case <-time.After(most):
		f.t.Fatalf("%d of %d sidecars have %s after %s", s.seen.Load(), want, text, most)
	}
	return time.Since(began)
}

// loadResponse is what a simulated sidecar reads of a response, so that the processors
// are left to the server.
type loadResponse struct {
	typeURL, nonce, version string
	sees                    *sighting
}

// loadFrame is an encoded message.
type loadFrame []byte

type loadCodec struct{ fleet *loadFleet }

func (loadCodec) Name() string { return "proto" }

func (loadCodec) Marshal(v any) (mem.BufferSlice, error) {
	if frame, ok := v.(loadFrame); ok {
		return mem.BufferSlice{mem.SliceBuffer(frame)}, nil
	}
	b, err := proto.Marshal(v.(proto.Message))
	return mem.BufferSlice{mem.SliceBuffer(b)}, err
}

func (c loadCodec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*loadResponse)
	if !ok {
		return fmt.Errorf("unmarshal %T", v)
	}
	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()
	all := buffer.ReadOnlyData()
	if s := c.fleet.looked.Load(); s != nil && bytes.Contains(all, s.text) {
		r.sees = s
	}
	const version, typeURL, nonce = 1, 4, 5
	for b := all; len(b) > 0; {
		number, kind, n := protowire.ConsumeField(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if into := map[protowire.Number]*string{version: &r.version, typeURL: &r.typeURL, nonce: &r.nonce}[number]; into != nil && kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(b)
			text, _ := protowire.ConsumeBytes(b[tag:])
			*into = string(text)
		}
		b = b[n:]
	}
	return nil
}
