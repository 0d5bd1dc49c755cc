package xds

import (
	"fmt"
	"strings"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// held opens a stream like a sidecar's.
func (s *served) held(t testing.TB, token string) client {
	t.Helper()
	c := s.dial(t, "Bearer "+token)
	c.subscribe(envoy.TypeListener)
	c.want(listeners)
	return c
}

func exhausted(t testing.TB, what string, err error, message string) {
	t.Helper()
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), message) {
		t.Errorf("%s: %v, want %q", what, err, message)
	}
}

// TestStreamsOfAllNamespaces: over the limit of all namespaces, those are closed that no
// ordinary namespace has, then those of the namespace that has most.
func TestStreamsOfAllNamespaces(t *testing.T) {
	s := serveWith(t, Limits{Streams: 8})
	s.Publish(modelOf(t, "ALLOW_ANY"))
	neighbor := s.held(t, "bank/web")
	const message = "more than 8 streams of all namespaces"

	unbound := s.held(t, "shop") // no pod
	twice := []client{s.held(t, "shop/a"), s.held(t, "shop/a")}
	for i := range 4 {
		s.held(t, fmt.Sprint("gym/", i))
	}
	other := s.held(t, "bank/other")
	exhausted(t, "a token that is not bound to a pod", unbound.end(), message)
	s.held(t, "bank/third")
	exhausted(t, "the older of two streams of a pod", twice[0].end(), message)
	s.held(t, "spa/0")
	exhausted(t, "the newest of the namespace that has most", func() error { // gym/3 or gym/4
		c := s.dial(t, "Bearer gym/5")
		_ = c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeCluster})
		return c.end()
	}(), message+"; a stream of gym/5 is closed")
	s.Publish(modelOf(t, "REGISTRY_ONLY"))
	for _, c := range []client{neighbor, other, twice[1]} {
		c.want(listeners)
	}
	kit.EventuallyTrue(t, "8 streams are left", func() bool { return len(s.Status()) == 8 })
}

// TestBytesOfAllNamespaces: several namespaces, each within its own limit, do not add up.
func TestBytesOfAllNamespaces(t *testing.T) {
	s := serveWith(t, Limits{NamespaceBytes: 200_000, Bytes: 500_000})
	s.Publish(modelOf(t, "ALLOW_ANY"))
	neighbor := s.held(t, "bank/web")
	neighbor.subscribe(envoy.TypeRoute, "80")
	neighbor.want("RouteConfiguration +80")
	names := namesOf(400, strings.Repeat("e", 280)+"%d") // 181 KB with what they take beside their bytes
	var all []client
	for i := range 4 {
		c := s.held(t, fmt.Sprintf("hostile-%d/app", i))
		c.subscribe(envoy.TypeCluster, names...)
		all = append(all, c)
	}
	closed := make(chan error, len(all))
	for _, c := range all {
		go func() { closed <- c.end() }()
	}
	exhausted(t, "one of them", <-closed, "the subscriptions of all namespaces exceed 500000 bytes")
	s.Publish(modelOf(t, "REGISTRY_ONLY"))
	neighbor.want(listeners)
	neighbor.want("RouteConfiguration +80")
	kit.EventuallyTrue(t, "the memory is free again", func() bool {
		s.Server.mu.Lock()
		defer s.Server.mu.Unlock()
		sum := 0
		for _, u := range s.namespaces {
			sum += u.bytes
		}
		return sum == s.bytes && s.bytes <= 500_000 && len(s.streams) == 3
	})
}

// TestMemoryThatIsCharged: whatever a stream keeps is charged to its namespace, and not
// only its names.
func TestMemoryThatIsCharged(t *testing.T) {
	s := serveWith(t, Limits{NamespaceBytes: 100_000})
	s.Publish(modelOf(t, "ALLOW_ANY"))
	neighbor := s.held(t, "bank/web")
	versions := map[string]string{}
	for _, name := range namesOf(300, strings.Repeat("v", 280)+"%d") {
		versions[name] = "1"
	}
	for what, send := range map[string]func(c client){
		"versions of resources that were never sent": func(c client) {
			kit.Must(t, c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeRoute, InitialResourceVersions: versions}))
		},
		"responses that are not acknowledged": func(c client) {
			for range 900 {
				_ = c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeCluster, ResourceNamesSubscribe: []string{"PassthroughCluster"}})
			}
		},
	} {
		c := s.dial(t, "Bearer shop/app")
		send(c)
		exhausted(t, what, c.end(), "the subscriptions of namespace shop exceed 100000 bytes")
	}
	s.Publish(modelOf(t, "REGISTRY_ONLY"))
	neighbor.want(listeners)
}

// TestStreamsPerMinute: a pod cannot open and close streams without end.
func TestStreamsPerMinute(t *testing.T) {
	s := serveWith(t, Limits{StreamsPerMinute: 5})
	s.Publish(modelOf(t, "ALLOW_ANY"))
	for range 5 {
		s.held(t, "shop/app")
	}
	c := s.dial(t, "Bearer shop/app")
	_ = c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeCluster})
	exhausted(t, "the sixth", c.end(), "shop/app opens more than 5 streams a minute")
	s.held(t, "shop/other")
}

// TestPace: requests of a stream with many names wait, and the stream can be closed
// meanwhile.
func TestPace(t *testing.T) {
	s := serveWith(t, Limits{})
	s.Publish(modelOf(t, "ALLOW_ANY"))
	busy, neighbor := s.held(t, "shop/app"), s.held(t, "bank/web")
	// On a busy machine the requests are handled slower than workRate allows.
	const burst = workBurst / 10
	s.Server.mu.Lock()
	work := s.pods["shop/app"][0].work
	s.Server.mu.Unlock()
	work.SetBurst(burst)
	work.SetLimit(1)
	busy.subscribe(envoy.TypeCluster, namesOf(9000, "c%d")...)
	for range 3 * burst * namesPerWork / 9000 {
		_ = busy.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeCluster, ResourceNamesUnsubscribe: []string{"none"}})
	}
	kit.EventuallyTrue(t, "the stream waits", func() bool { return work.Tokens() < 0 })
	s.Publish(modelOf(t, "REGISTRY_ONLY"))
	neighbor.want(listeners)
	s.Revoke(Identity{Namespace: "shop", Pod: "app"})
	if err := busy.end(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the closed stream: %v", err)
	}
}
