package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/egress/xds"
)

// TestSidecarsReconnect restarts the control plane of 1,000 sidecars, each with the token
// of its own pod: all have their configuration again within 10 s, and the API server
// reviews no more than one token of each.
func TestSidecarsReconnect(t *testing.T) {
	const sidecars, within = 1000, 10 * time.Second
	i := startInstance(t, "").ready()
	f := &fleet{i: i, roots: x509.NewCertPool()}
	f.roots.AppendCertsFromPEM(i.ca)
	ctx, stop := context.WithCancel(t.Context())
	defer f.running.Wait()
	defer stop()
	for n, token := range f.tokens(sidecars) {
		f.running.Go(func() { f.sidecar(ctx, n, token) })
	}
	i.eventually("all are connected", func() string { return f.missing(sidecars) })
	before := f.reviewed()

	i.restart()
	f.connected.Store(0)
	i.eventually("the new replica is ready", i.readyz)
	began := time.Now()
	i.eventually("all are connected again", func() string { return f.missing(sidecars) })
	took := time.Since(began)
	t.Logf("%d sidecars are connected %s after the restarted control plane is ready", sidecars, took.Round(time.Millisecond))
	if took > within {
		t.Errorf("want it within %s", within)
	}
	// Every sidecar connects once more, while the reviews go on.
	f.connected.Store(0)
	f.close()
	i.eventually("all have connected twice", func() string { return f.missing(sidecars) })
	n := f.reviewed() - before
	t.Logf("%d TokenReviews of %d pods since the restart; tokens verified by signature: %v", n, sidecars, i.metric("outrider_xds_token_checks_total", "signature", "valid"))
	if n > sidecars {
		t.Errorf("%d TokenReviews of %d pods", n, sidecars)
	}
	if v := i.metric("outrider_xds_token_checks_total", "signature", "valid"); v < 2*sidecars {
		t.Errorf("%v tokens verified by signature, want %d", v, 2*sidecars)
	}
}

// fleet are sidecars with addresses of their own.
type fleet struct {
	i         *instance
	roots     *x509.CertPool
	running   sync.WaitGroup
	connected atomic.Int64

	mu    sync.Mutex
	conns []*grpc.ClientConn
}

// tokens are those of n pods, which the API server issues.
func (f *fleet) tokens(n int) []string {
	f.i.t.Helper()
	ns := f.i.Namespace(f.i.t, nil) // no webhook is called for its pods
	out := make([]string, n)
	next := make(chan int)
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for k := range next {
				pod, err := f.i.create(ns, sleepPod(fmt.Sprint("sleep-", k)))
				if err != nil {
					f.i.t.Error(err)
					continue
				}
				out[k] = f.i.token(ns, pod, xds.Audience)
			}
		})
	}
	for k := range n {
		next <- k
	}
	close(next)
	workers.Wait()
	return out
}

// sidecar connects as Envoy does, again after up to half a second.
func (f *fleet) sidecar(ctx context.Context, n int, token string) {
	source := &net.TCPAddr{IP: net.IPv4(127, 10, byte(n>>8), byte(n))}
	for ctx.Err() == nil {
		conn, err := grpc.NewClient(f.i.xds, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: f.roots})),
			grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
				return (&net.Dialer{LocalAddr: source}).DialContext(ctx, "tcp", address)
			}))
		if err != nil {
			f.i.t.Error(err)
			return
		}
		f.mu.Lock()
		f.conns = append(f.conns, conn)
		f.mu.Unlock()
		f.stream(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token), conn)
		_ = conn.Close()
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
	}
}

// stream reads until the stream ends; it is connected with its first response.
func (f *fleet) stream(ctx context.Context, conn *grpc.ClientConn) {
	s, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return
	}
	if s.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeListener}) != nil {
		return
	}
	for first := true; ; first = false {
		r, err := s.Recv()
		if err != nil {
			return
		}
		if first {
			f.connected.Add(1)
		}
		if s.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce}) != nil {
			return
		}
	}
}

// close ends the connections of all sidecars.
func (f *fleet) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		_ = c.Close()
	}
	f.conns = nil
}

func (f *fleet) missing(n int) string {
	if c := f.connected.Load(); c < int64(n) {
		return fmt.Sprintf("%d are connected", c)
	}
	return ""
}

// reviewed is the number of TokenReviews that the API server has had.
func (f *fleet) reviewed() int {
	f.i.t.Helper()
	text, err := f.i.Client.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(f.i.t.Context())
	f.i.must(err)
	sum := 0.0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "apiserver_request_total{") && strings.Contains(line, `resource="tokenreviews"`) {
			v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			f.i.must(err)
			sum += v
		}
	}
	return int(sum)
}
