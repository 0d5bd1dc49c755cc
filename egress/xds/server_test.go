package xds

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statusv3 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// served is a server on loopback; a token is its identity's namespace, or namespace
// and pod.
type served struct {
	*Server
	address string
	roots   *x509.CertPool
	root    []byte // the one in roots

	mu       sync.Mutex
	rejected []Rejection
	sent     int // bytes of resources
	limited  map[string]int
	judged   []egress.Rejection
	reported *reported
}

// serve has no limit of streams; the simulated sidecars are one pod.
func serve(t testing.TB) *served {
	t.Helper()
	return serveWith(t, unlimited)
}

var unlimited = Limits{
	StreamsPerPod: 1 << 20, StreamsPerMinute: 1 << 20, StreamsPerNamespace: 1 << 20, Streams: 1 << 20, NamespaceBytes: 1 << 40, Bytes: 1 << 40,
	ConnectionsPerSource: 1 << 20, Connections: 1 << 20,
}

func serveWith(t testing.TB, limits Limits) *served {
	t.Helper()
	return serveBy(t, limits, AuthenticatorFunc(byName))
}

// byName takes a token as its identity's name.
func byName(_ context.Context, token string) (Identity, error) {
	switch token {
	case "invalid":
		return Identity{}, fmt.Errorf("review: %w", ErrUnauthenticated)
	case "unavailable":
		return Identity{}, fmt.Errorf("the API server is unavailable")
	}
	namespace, pod, _ := strings.Cut(token, "/")
	return Identity{Namespace: namespace, Pod: pod}, nil
}

func serveBy(t testing.TB, limits Limits, auth Authenticator) *served {
	t.Helper()
	cert, ca := selfSigned(t, []string{"127.0.0.1"})
	s := &served{roots: x509.NewCertPool(), root: cert.Certificate[0], limited: map[string]int{}}
	s.roots.AppendCertsFromPEM([]byte(ca))
	s.Server = New(auth, Observer{
		Limited:           func(_ Identity, limit, _ string) { s.mu.Lock(); defer s.mu.Unlock(); s.limited[limit]++ },
		ConnectionLimited: func(_, limit, _ string) { s.mu.Lock(); defer s.mu.Unlock(); s.limited[limit]++ },
		Rejected:          func(r Rejection) { s.mu.Lock(); defer s.mu.Unlock(); s.rejected = append(s.rejected, r) },
		Sent:              func(_ string, _, n int) { s.mu.Lock(); defer s.mu.Unlock(); s.sent += n },
		Judged:            func(all []egress.Rejection) { s.mu.Lock(); defer s.mu.Unlock(); s.judged = all },
	}, limits)
	s.reported = newReported()
	s.ReceiveReports(s.reported)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	s.address = l.Addr().String()
	g := s.GRPC(&tls.Config{Certificates: []tls.Certificate{cert}})
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(s.Bounded(l)) }()
	t.Cleanup(func() { g.Stop(); <-done })
	return s
}

// client is the client side of one stream.
type client struct {
	t testing.TB
	discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
}

func (s *served) dial(t testing.TB, authorization ...string) client {
	t.Helper()
	conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: s.roots})),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	kit.Must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	for _, a := range authorization {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", a)
	}
	c, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	kit.Must(t, err)
	return client{t, c}
}

func (c client) subscribe(typeURL string, names ...string) {
	c.t.Helper()
	kit.Must(c.t, c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResourceNamesSubscribe: names}))
}

// want receives a response and acknowledges it. It is written as the short type,
// then +name for each resource and -name for each removed one.
func (c client) want(want string) *discoveryv3.DeltaDiscoveryResponse {
	c.t.Helper()
	r := c.next(want)
	kit.Must(c.t, c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce}))
	return r
}

// receive is want without an acknowledgment; it returns the nonce.
func (c client) receive(want string) string {
	c.t.Helper()
	return c.next(want).Nonce
}

func (c client) next(want string) *discoveryv3.DeltaDiscoveryResponse {
	c.t.Helper()
	r, err := c.Recv()
	if err != nil {
		c.t.Fatalf("receive %q: %v", want, err)
	}
	got := r.TypeUrl[strings.LastIndex(r.TypeUrl, ".")+1:]
	for _, x := range r.Resources {
		got += " +" + x.Name
	}
	for _, name := range r.RemovedResources {
		got += " -" + name
	}
	if got != want {
		c.t.Fatalf("response\n%s, want\n%s", got, want)
	}
	return r
}

const (
	wildcard  = "Cluster +BlackHoleCluster +PassthroughCluster +in-cluster +outbound|names"
	policy    = "Cluster +PassthroughCluster"
	listeners = "Listener +virtualOutbound +0.0.0.0_80 +0.0.0.0_443"
	binName   = "outbound|80||httpbin.org"
)

func TestServer_RejectsUnauthenticatedStreams(t *testing.T) {
	s := serve(t)
	wantCode := func(code codes.Code, authorization ...string) {
		t.Helper()
		c := s.dial(t, authorization...)
		_ = c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeCluster})
		if _, err := c.Recv(); status.Code(err) != code {
			t.Errorf("with %q: %v, want %v", authorization, err, code)
		}
	}
	wantCode(codes.Unavailable, "Bearer shop") // nothing is published yet
	s.Publish(modelOf(t, "ALLOW_ANY"))
	wantCode(codes.Unauthenticated)
	wantCode(codes.Unauthenticated, "Bearer ")
	wantCode(codes.Unauthenticated, "Basic shop")
	wantCode(codes.Unauthenticated, "Bearer shop", "Bearer bank")
	wantCode(codes.Unauthenticated, "Bearer invalid")
	wantCode(codes.Unavailable, "Bearer unavailable")
	c := s.dial(t, "Bearer shop")
	c.subscribe(envoy.TypeCluster)
	c.want(wildcard)

	old := &tls.Config{RootCAs: s.roots, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	if conn, err := tls.Dial("tcp", s.address, old); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is accepted")
	}
}

func TestOnDemandCluster(t *testing.T) {
	s := serve(t)
	bin := entryOf(t, "shop", "httpbin", httpbin)
	s.Publish(modelOf(t, "REGISTRY_ONLY"))
	c := s.dial(t, "Bearer shop")
	c.subscribe(envoy.TypeCluster)
	c.want(wildcard)
	c.subscribe(envoy.TypeListener)
	c.want(listeners)
	c.subscribe(envoy.TypeRoute, "80", "443", "catchall")
	c.want("RouteConfiguration +443 +80 +catchall")

	c.subscribe(envoy.TypeCluster, binName) // before it is declared
	c.want("Cluster -" + binName)
	s.Publish(modelOf(t, "REGISTRY_ONLY", bin))
	c.want("Cluster +" + binName) // it stays subscribed
	c.want("RouteConfiguration +80")
	s.Publish(modelOf(t, "REGISTRY_ONLY", bin)) // no change, no response
	s.Publish(modelOf(t, "ALLOW_ANY", bin))
	c.want(policy) // first what forwards undeclared hosts, then the routes to it
	c.want(listeners)
	c.want("RouteConfiguration +443 +80 +catchall")
	s.Publish(modelOf(t, "REGISTRY_ONLY", bin))
	c.want(listeners)
	c.want("RouteConfiguration +443 +80 +catchall")
	c.want(policy) // what forwards them is closed even if the routes are rejected
	s.Publish(modelOf(t, "ALLOW_ANY", bin))
	c.want(policy)
	c.want(listeners)
	c.want("RouteConfiguration +443 +80 +catchall")
	s.Publish(modelOf(t, "ALLOW_ANY"))
	c.want("RouteConfiguration +80") // first the route to it,
	c.want("Cluster -" + binName)    // then the cluster
	s.Publish(modelOf(t, "ALLOW_ANY", bin))
	c.want("Cluster +" + binName)
	c.want("RouteConfiguration +80")
	c.subscribe(envoy.TypeRoute, "8080", "070", "nonsense") // a port without declared hosts
	c.want("RouteConfiguration +8080 -070 -nonsense")
}

// After a reconnect, resources that the sidecar still has are not sent again, and
// resources that no longer exist are removed.
func TestReconnect(t *testing.T) {
	s := serve(t)
	s.Publish(modelOf(t, "ALLOW_ANY", entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "shop", "other", `{"hosts": ["other.test"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]}`)))
	c := s.dial(t, "Bearer shop")
	versions := map[string]string{"gone": "1", "outbound|80||gone.example.com": "1"}
	c.subscribe(envoy.TypeCluster)
	for _, r := range c.want(wildcard).Resources {
		versions[r.Name] = r.Version
	}
	c.subscribe(envoy.TypeCluster, binName)
	for _, r := range c.want("Cluster +" + binName).Resources {
		versions[r.Name] = r.Version
	}
	if len(versions) != 7 || slices.Contains(slices.Collect(maps.Values(versions)), "") {
		t.Fatalf("versions %v", versions)
	}
	again := s.dial(t, "Bearer shop")
	kit.Must(t, again.Send(&discoveryv3.DeltaDiscoveryRequest{
		TypeUrl: envoy.TypeCluster, InitialResourceVersions: versions,
		ResourceNamesSubscribe: []string{"*", binName, "outbound|80||other.test", "outbound|80||gone.example.com"},
	}))
	again.want("Cluster +outbound|80||other.test -outbound|80||gone.example.com -gone")
}

func TestExportTo(t *testing.T) {
	s := serve(t)
	private := `{"exportTo": ["."], ` + httpbin[1:]
	s.Publish(modelOf(t, "REGISTRY_ONLY", entryOf(t, "shop", "httpbin", private)))
	for namespace, want := range map[string]string{"shop": "Cluster +" + binName, "bank": "Cluster -" + binName} {
		c := s.dial(t, "Bearer "+namespace)
		c.subscribe(envoy.TypeCluster)
		c.want(wildcard)
		c.subscribe(envoy.TypeCluster, binName)
		c.want(want)
	}
}

// TestNACK_Alone: resources that are rejected together are sent again in halves, and
// the one that is rejected alone is not sent again.
func TestNACK_Alone(t *testing.T) {
	s := serve(t)
	s.Publish(modelOf(t, "ALLOW_ANY"))
	c := s.dial(t, "Bearer shop")
	nack := func(typeURL, nonce string) {
		t.Helper()
		for range 2 { // repeated, counted once
			kit.Must(t, c.Send(&discoveryv3.DeltaDiscoveryRequest{
				TypeUrl: typeURL, ResponseNonce: nonce, ErrorDetail: &statusv3.Status{Message: "no such filter"},
			}))
		}
	}
	c.subscribe(envoy.TypeRoute, "80", "443", "catchall")
	nack(envoy.TypeRoute, c.receive("RouteConfiguration +443 +80 +catchall"))
	c.want("RouteConfiguration +443")
	nack(envoy.TypeRoute, c.receive("RouteConfiguration +80 +catchall"))
	nack(envoy.TypeRoute, c.receive("RouteConfiguration +80"))
	c.want("RouteConfiguration +catchall")
	c.subscribe(envoy.TypeCluster)
	c.want(wildcard) // not the routes again
	s.mu.Lock()
	rejected := s.rejected
	s.mu.Unlock()
	if len(rejected) != 1 || rejected[0].Reason != "no such filter" || rejected[0].Identity.Namespace != "shop" ||
		!slices.Equal(rejected[0].Resources, []string{"80"}) {
		t.Errorf("rejections %+v", rejected)
	}
	if got := s.Status()[0].Rejected[envoy.TypeRoute].Reason; got != "no such filter" {
		t.Errorf("status has %q", got)
	}
	s.Publish(modelOf(t, "REGISTRY_ONLY"))
	c.want("RouteConfiguration +443 +80 +catchall")
	c.want(policy)
	kit.EventuallyTrue(t, "the ACK clears the rejection", func() bool { return len(s.Status()[0].Rejected) == 0 })
}

// Equal views are shared, across generations too.
func TestViewsAreShared(t *testing.T) {
	s := New(nil, Observer{}, Limits{})
	s.Publish(modelOf(t, "ALLOW_ANY", entryOf(t, "shop", "httpbin", httpbin)))
	of := func(namespace string) *view {
		v, _, err := s.current.Load().view(egress.Workload{Namespace: namespace}, nil)
		kit.Must(t, err)
		return v
	}
	first := of("bank")
	if of("gym") != first {
		t.Error("two namespaces without objects have different views")
	}
	s.Publish(modelOf(t, "ALLOW_ANY", entryOf(t, "shop", "httpbin", httpbin)))
	if of("gym") != first {
		t.Error("the view is rebuilt without a change")
	}
	// A namespace with an entry of its own shares the view, too, unless it sees other objects.
	if of("shop") != first {
		t.Error("a namespace whose entry is visible to all has a view of its own")
	}
	a, err := first.get(envoy.TypeCluster, binName)
	kit.Must(t, err)
	if b, _ := of("bank").get(envoy.TypeCluster, binName); a == nil || a != b {
		t.Errorf("the cluster is encoded twice: %p and %p", a, b)
	}
}
