package xds

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// clientsEnv makes the test binary the sidecars of BenchmarkPush: address,
// number of sidecars, and file with the CA certificate.
const clientsEnv = "OUTRIDER_XDS_CLIENTS"

// BenchmarkPush switches the mesh's mode and waits until every sidecar, simulated
// in another process on the same machine, has its listeners and routes. It also
// prints the time to build the resources, which is the floor, and the peak memory
// of the server's process.
//
//	go test ./egress/xds -run ^$ -bench Push -benchtime 5x
func BenchmarkPush(b *testing.B) {
	for _, c := range []struct{ entries, clients int }{{10, 100}, {1000, 100}, {1000, 1000}} {
		b.Run(fmt.Sprintf("entries=%d/clients=%d", c.entries, c.clients), func(b *testing.B) { benchPush(b, c.entries, c.clients) })
	}
}

func benchPush(b *testing.B, entries, clients int) {
	s := serve(b)
	change := many(b, entries)
	modes := []*egress.Model{modelOf(b, "ALLOW_ANY", change), modelOf(b, "REGISTRY_ONLY", change)}
	start := time.Now()
	if _, err := newView(modes[0].View("shop")); err != nil {
		b.Fatal(err)
	}
	floor := time.Since(start)
	s.Publish(modes[0])
	done := s.startClients(b, clients)
	<-done // all have the initial configuration
	s.mu.Lock()
	before := s.sent
	s.mu.Unlock()
	worst := time.Duration(0)
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		s.Publish(modes[(i+1)%2])
		<-done
		worst = max(worst, time.Since(start))
	}
	b.StopTimer()
	s.mu.Lock()
	bytes := s.sent - before
	s.mu.Unlock()
	b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
	b.ReportMetric(float64(floor.Microseconds())/1000, "floor-ms")
	b.ReportMetric(float64(bytes)/float64(b.N*clients)/1024, "KB/client")
	b.ReportMetric(peakMB(b), "peak-MB")
}

// many are entries of one HTTP and one TLS host each.
func many(t testing.TB, n int) func(*egress.Input) {
	t.Helper()
	return func(in *egress.Input) {
		for i := range n {
			in.ServiceEntries = append(in.ServiceEntries, egress.ServiceEntry{
				Meta: egress.Meta{Namespace: "shop", Name: fmt.Sprint(i)},
				Spec: &networkingv1alpha3.ServiceEntry{
					Hosts:      []string{fmt.Sprintf("host-%d.gen.test", i)},
					Resolution: networkingv1alpha3.ServiceEntry_DNS,
					Ports: []*networkingv1alpha3.ServicePort{
						{Number: 80, Name: "http", Protocol: "HTTP"}, {Number: 443, Name: "tls", Protocol: "TLS"},
					},
				},
			})
		}
	}
}

// startClients starts the process of the sidecars. The channel receives whenever
// all of them have the published configuration.
func (s *served) startClients(b *testing.B, n int) <-chan struct{} {
	b.Helper()
	file := b.TempDir() + "/ca.der"
	kit.Must(b, os.WriteFile(file, s.root, 0o600))
	cmd := exec.Command(os.Args[0], "-test.run", "^TestClients$", "-test.timeout", "5m")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", clientsEnv, s.address, n, file))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	kit.Must(b, err)
	kit.Must(b, cmd.Start())
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if lines.Text() == "all" {
				done <- struct{}{}
			}
		}
	}()
	return done
}

// TestClients is the process of BenchmarkPush.
func TestClients(t *testing.T) {
	setting := strings.Fields(os.Getenv(clientsEnv))
	if len(setting) != 3 {
		return // not started by the benchmark: nothing to test, nothing skipped
	}
	n, err := strconv.Atoi(setting[1])
	kit.Must(t, err)
	der, err := os.ReadFile(setting[2])
	kit.Must(t, err)
	ca, err := x509.ParseCertificate(der)
	kit.Must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	got := make(chan error, n)
	for range n {
		go func() { got <- simulate(t.Context(), setting[0], roots, got) }()
	}
	for {
		for range n {
			if err := <-got; err != nil {
				t.Fatal(err)
			}
		}
		fmt.Println("all")
	}
}

// simulate is one sidecar: it sends on got when it has the listeners and routes
// of one publication.
func simulate(ctx context.Context, address string, roots *x509.CertPool, got chan<- error) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots})),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.ForceCodecV2(headerCodec{})))
	if err != nil {
		return err
	}
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer shop")
	c, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true},
		"/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources")
	if err != nil {
		return err
	}
	for typeURL, names := range map[string][]string{
		envoy.TypeCluster: nil, envoy.TypeListener: nil, envoy.TypeRoute: {"80", "443", "catchall"},
	} {
		if err := c.SendMsg(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResourceNamesSubscribe: names}); err != nil {
			return err
		}
	}
	for wait := 3; ; { // initially three types, two for a change of mode
		var h header
		if err := c.RecvMsg(&h); err != nil {
			return err
		}
		if wait--; wait == 0 {
			wait = 2
			got <- nil
		}
		if err := c.SendMsg(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: h.typeURL, ResponseNonce: h.nonce}); err != nil {
			return err
		}
	}
}

// header is the part of a response that a simulated sidecar decodes, so that CPU
// time is left to the server.
type header struct{ typeURL, nonce string }

type headerCodec struct{}

func (headerCodec) Name() string { return "proto" }

func (headerCodec) Marshal(v any) (mem.BufferSlice, error) {
	b, err := proto.Marshal(v.(proto.Message))
	return mem.BufferSlice{mem.SliceBuffer(b)}, err
}

func (headerCodec) Unmarshal(data mem.BufferSlice, v any) error {
	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()
	h, b := v.(*header), buffer.ReadOnlyData()
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		size := protowire.ConsumeFieldValue(number, kind, b[n:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		if kind == protowire.BytesType && (number == responseType || number == responseNonce) {
			text, _ := protowire.ConsumeBytes(b[n:])
			if number == responseType {
				h.typeURL = string(text)
			} else {
				h.nonce = string(text)
			}
		}
		b = b[n+size:]
	}
	return nil
}

// peakMB is the peak resident memory of this process; 0 where it is unavailable.
func peakMB(b *testing.B) float64 {
	b.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	text, err := os.ReadFile("/proc/self/status")
	kit.Must(b, err)
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	kit.Must(b, err)
	return float64(kb) / 1024
}
