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
)

// served is a server on loopback; a token is the namespace that it stands for.
type served struct {
	*Server
	address string
	roots   *x509.CertPool
	root    []byte // the one in roots

	mu       sync.Mutex
	rejected []Rejection
	sent     int // bytes of resources
}

func serve(t testing.TB) *served {
	t.Helper()
	cert, ca := selfSigned(t, []string{"127.0.0.1"})
	s := &served{roots: x509.NewCertPool(), root: cert.Certificate[0]}
	s.roots.AppendCertsFromPEM([]byte(ca))
	s.Server = New(AuthenticatorFunc(func(_ context.Context, token string) (Identity, error) {
		switch token {
		case "stranger":
			return Identity{}, fmt.Errorf("review: %w", ErrUnauthenticated)
		case "away":
			return Identity{}, fmt.Errorf("API server is away")
		}
		return Identity{Namespace: token}, nil
	}), Observer{
		Rejected: func(r Rejection) { s.mu.Lock(); defer s.mu.Unlock(); s.rejected = append(s.rejected, r) },
		Sent:     func(_ string, _, n int) { s.mu.Lock(); defer s.mu.Unlock(); s.sent += n },
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s.address = l.Addr().String()
	g := s.GRPC(&tls.Config{Certificates: []tls.Certificate{cert}})
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(l) }()
	t.Cleanup(func() { g.Stop(); <-done })
	return s
}

// client is a sidecar's side of one stream.
type client struct {
	t testing.TB
	discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
}

func (s *served) dial(t testing.TB, authorization ...string) client {
	t.Helper()
	conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: s.roots})),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	for _, a := range authorization {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", a)
	}
	c, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	must(t, err)
	return client{t, c}
}

func (c client) ask(typeURL string, names ...string) {
	c.t.Helper()
	must(c.t, c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResourceNamesSubscribe: names}))
}

// want receives a response and acknowledges it. It is written as the type's
// last word, then +name for what is in it and -name for what is removed.
func (c client) want(want string) *discoveryv3.DeltaDiscoveryResponse {
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
	must(c.t, c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce}))
	return r
}

const (
	standing  = "Cluster +BlackHoleCluster +PassthroughCluster +outbound|names"
	listeners = "Listener +virtualOutbound +0.0.0.0_80 +0.0.0.0_443"
	binName   = "outbound|80||httpbin.org"
)

func TestWhoIsServed(t *testing.T) {
	s := serve(t)
	wantCode := func(code codes.Code, authorization ...string) {
		t.Helper()
		c := s.dial(t, authorization...)
		_ = c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: egress.TypeCluster})
		if _, err := c.Recv(); status.Code(err) != code {
			t.Errorf("with %q: %v, want %v", authorization, err, code)
		}
	}
	wantCode(codes.Unavailable, "Bearer shop") // nothing is published
	s.Publish(modelOf(t, "ALLOW_ANY"))
	wantCode(codes.Unauthenticated)
	wantCode(codes.Unauthenticated, "Bearer ")
	wantCode(codes.Unauthenticated, "Basic shop")
	wantCode(codes.Unauthenticated, "Bearer shop", "Bearer bank")
	wantCode(codes.Unauthenticated, "Bearer stranger")
	wantCode(codes.Unavailable, "Bearer away")
	c := s.dial(t, "Bearer shop")
	c.ask(egress.TypeCluster)
	c.want(standing)

	old := &tls.Config{RootCAs: s.roots, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	if conn, err := tls.Dial("tcp", s.address, old); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is taken")
	}
}

func TestLifeOfAHost(t *testing.T) {
	s := serve(t)
	bin := entryOf(t, "shop", "httpbin", httpbin)
	s.Publish(modelOf(t, "REGISTRY_ONLY"))
	c := s.dial(t, "Bearer shop")
	c.ask(egress.TypeCluster)
	c.want(standing)
	c.ask(egress.TypeListener)
	c.want(listeners)
	c.ask(egress.TypeRoute, "80", "443", "catchall")
	c.want("RouteConfiguration +443 +80 +catchall")

	c.ask(egress.TypeCluster, binName) // before it is declared
	c.want("Cluster -" + binName)
	s.Publish(modelOf(t, "REGISTRY_ONLY", bin))
	c.want("Cluster +" + binName) // it asked once; it is not asked again
	c.want("RouteConfiguration +80")
	s.Publish(modelOf(t, "REGISTRY_ONLY", bin)) // no change, no response
	s.Publish(modelOf(t, "ALLOW_ANY", bin))
	c.want(listeners)
	c.want("RouteConfiguration +443 +80 +catchall")
	s.Publish(modelOf(t, "ALLOW_ANY"))
	c.want("RouteConfiguration +80") // nothing leads there any more,
	c.want("Cluster -" + binName)    // then it goes
	s.Publish(modelOf(t, "ALLOW_ANY", bin))
	c.want("Cluster +" + binName)
	c.want("RouteConfiguration +80")
	c.ask(egress.TypeRoute, "8080", "070", "nonsense") // a port that nothing is declared on
	c.want("RouteConfiguration +8080 -070 -nonsense")
}

// What a sidecar has when it connects again is not sent again, and what is gone
// is withdrawn.
func TestReconnect(t *testing.T) {
	s := serve(t)
	s.Publish(modelOf(t, "ALLOW_ANY", entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "shop", "other", `{"hosts": ["other.test"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]}`)))
	c := s.dial(t, "Bearer shop")
	versions := map[string]string{"gone": "1", "outbound|80||gone.example.com": "1"}
	c.ask(egress.TypeCluster)
	for _, r := range c.want(standing).Resources {
		versions[r.Name] = r.Version
	}
	c.ask(egress.TypeCluster, binName)
	for _, r := range c.want("Cluster +" + binName).Resources {
		versions[r.Name] = r.Version
	}
	if len(versions) != 6 || slices.Contains(slices.Collect(maps.Values(versions)), "") {
		t.Fatalf("versions %v", versions)
	}
	again := s.dial(t, "Bearer shop")
	must(t, again.Send(&discoveryv3.DeltaDiscoveryRequest{
		TypeUrl: egress.TypeCluster, InitialResourceVersions: versions,
		ResourceNamesSubscribe: []string{"*", binName, "outbound|80||other.test", "outbound|80||gone.example.com"},
	}))
	again.want("Cluster +outbound|80||other.test -outbound|80||gone.example.com -gone")
}

func TestNamespacesSeeTheirOwn(t *testing.T) {
	s := serve(t)
	private := `{"exportTo": ["."], ` + httpbin[1:]
	s.Publish(modelOf(t, "REGISTRY_ONLY", entryOf(t, "shop", "httpbin", private)))
	for namespace, want := range map[string]string{"shop": "Cluster +" + binName, "bank": "Cluster -" + binName} {
		c := s.dial(t, "Bearer "+namespace)
		c.ask(egress.TypeCluster)
		c.want(standing)
		c.ask(egress.TypeCluster, binName)
		c.want(want)
	}
}

func TestRejectionIsReportedAndNotRepeated(t *testing.T) {
	s := serve(t)
	s.Publish(modelOf(t, "ALLOW_ANY"))
	c := s.dial(t, "Bearer shop")
	c.ask(egress.TypeListener)
	r, err := c.Recv()
	must(t, err)
	for range 2 { // said twice, counted once
		must(t, c.Send(&discoveryv3.DeltaDiscoveryRequest{
			TypeUrl: egress.TypeListener, ResponseNonce: r.Nonce, ErrorDetail: &statusv3.Status{Message: "no such filter"},
		}))
	}
	c.ask(egress.TypeCluster)
	c.want(standing) // and not the listeners again
	s.mu.Lock()
	rejected := s.rejected
	s.mu.Unlock()
	if len(rejected) != 1 || rejected[0].Reason != "no such filter" || rejected[0].Identity.Namespace != "shop" ||
		!slices.Equal(rejected[0].Resources, []string{"0.0.0.0_443", "0.0.0.0_80", "virtualOutbound"}) {
		t.Errorf("rejections %+v", rejected)
	}
	if got := s.Status()[0].Rejected[egress.TypeListener].Reason; got != "no such filter" {
		t.Errorf("status has %q", got)
	}
	s.Publish(modelOf(t, "REGISTRY_ONLY"))
	c.want(listeners)
	eventually(t, "the acceptance is noted", func() bool { return len(s.Status()[0].Rejected) == 0 })
}

func TestLimits(t *testing.T) {
	s := serve(t)
	s.Publish(modelOf(t, "ALLOW_ANY"))
	c := s.dial(t, "Bearer shop")
	names := make([]string, namesLimit+1)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	c.ask(egress.TypeCluster, names...)
	if _, err := c.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("%d names: %v", len(names), err)
	}
}

// Views that do not differ are one, over generations too.
func TestViewsAreShared(t *testing.T) {
	s := New(nil, Observer{})
	s.Publish(modelOf(t, "ALLOW_ANY", entryOf(t, "shop", "httpbin", httpbin)))
	of := func(namespace string) *view {
		v, err := s.current.Load().view(namespace)
		must(t, err)
		return v
	}
	first := of("bank")
	if of("gym") != first {
		t.Error("two namespaces without objects have different views")
	}
	s.Publish(modelOf(t, "ALLOW_ANY", entryOf(t, "shop", "httpbin", httpbin)))
	if of("gym") != first {
		t.Error("the view is made anew though nothing changed")
	}
	// A namespace with an entry of its own shares too, unless it sees another world.
	if of("shop") != first {
		t.Error("a namespace whose entry all see has a view of its own")
	}
	a, err := first.get(egress.TypeCluster, binName)
	must(t, err)
	if b, _ := of("bank").get(egress.TypeCluster, binName); a == nil || a != b {
		t.Errorf("the cluster is made twice: %p and %p", a, b)
	}
}
