package xds

import (
	"fmt"
	"strings"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statusv3 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

func namesOf(n int, pattern string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf(pattern, i)
	}
	return out
}

// TestLimitsOfAStream has a client over each limit of a stream: it is disconnected,
// and a sidecar of another namespace is not.
func TestLimitsOfAStream(t *testing.T) {
	s := serveWith(t, Limits{NamesPerStream: 2000, NamespaceBytes: 400_000})
	s.Publish(modelOf(t, "ALLOW_ANY"))
	neighbor := s.dial(t, "Bearer bank/web")
	neighbor.subscribe(envoy.TypeListener)
	neighbor.want(listeners)
	mode := 0
	for _, c := range []struct {
		limit, message string
		send           func(c client)
	}{
		{limitName, "a resource name has 301 bytes: the limit is 300", func(c client) {
			c.subscribe(envoy.TypeCluster, "a", strings.Repeat("b", 301))
		}},
		{limitName, "a resource name has 3000 bytes", func(c client) {
			_ = c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeRoute, InitialResourceVersions: map[string]string{strings.Repeat("b", 3000): "1"}})
		}},
		{limitMessage, "received message larger than max", func(c client) { c.subscribe(envoy.TypeCluster, strings.Repeat("c", 300_000)) }},
		{limitMessage, "received message larger than max", func(c client) {
			_ = c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeCluster, ErrorDetail: &statusv3.Status{Message: strings.Repeat("d", 1<<20)}})
		}},
		{limitNames, "has subscribed to 2001 names: the limit is 2000", func(c client) {
			c.subscribe(envoy.TypeCluster, namesOf(1001, "a%d")...)
			c.subscribe(envoy.TypeRoute, namesOf(1000, "r%d")...)
		}},
		{limitBytes, "the subscriptions of namespace shop exceed 400000 bytes", func(c client) {
			c.subscribe(envoy.TypeCluster, namesOf(700, strings.Repeat("e", 280)+"%d")...)
			c.subscribe(envoy.TypeRoute, namesOf(700, strings.Repeat("f", 280)+"%d")...)
		}},
	} {
		before := s.count(c.limit)
		attacker := s.dial(t, "Bearer shop/app")
		c.send(attacker)
		err := attacker.end()
		if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %v, want %s", c.limit, err, c.message)
		}
		kit.EventuallyTrue(t, c.limit+" is counted", func() bool { return s.count(c.limit) == before+1 })
		mode++
		s.Publish(modelOf(t, []string{"ALLOW_ANY", "REGISTRY_ONLY"}[mode%2]))
		neighbor.want(listeners)
	}
	kit.EventuallyTrue(t, "nothing remains of the attackers", func() bool {
		s.Server.mu.Lock()
		defer s.Server.mu.Unlock()
		return len(s.streams) == 1 && len(s.pods) == 1 && len(s.namespaces) == 1 && s.namespaces["bank"].streams == 1 && s.namespaces["bank"].bytes == 0
	})
}

func (s *served) count(limit string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limited[limit]
}

// end reads until the stream ends.
func (c client) end() error {
	for {
		if _, err := c.Recv(); err != nil {
			return err
		}
	}
}

// TestTheNewestStreamOfAPodCounts: the oldest is closed, and another pod's is not.
func TestTheNewestStreamOfAPodCounts(t *testing.T) {
	s := serveWith(t, Limits{})
	s.Publish(modelOf(t, "ALLOW_ANY"))
	open := func(token string) client {
		c := s.dial(t, "Bearer "+token)
		c.subscribe(envoy.TypeListener)
		c.want(listeners)
		return c
	}
	neighbor, first := open("shop/other"), open("shop/app")
	second, third := open("shop/app"), open("shop/app")
	if err := first.end(); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "closed for a newer stream of the same pod") {
		t.Errorf("the oldest: %v", err)
	}
	s.Publish(modelOf(t, "REGISTRY_ONLY"))
	for _, c := range []client{neighbor, second, third} {
		c.want(listeners)
	}
	kit.EventuallyTrue(t, "counted", func() bool { return s.count(limitPod) == 1 })
}

func TestStreamsOfANamespace(t *testing.T) {
	s := serveWith(t, Limits{StreamsPerNamespace: 3})
	s.Publish(modelOf(t, "ALLOW_ANY"))
	open := func(token string) client {
		c := s.dial(t, "Bearer "+token)
		_ = c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeCluster}) // or it is closed already
		return c
	}
	for i := range 3 {
		open(fmt.Sprint("shop/", i)).want(wildcard)
	}
	if err := open("shop/3").end(); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "namespace shop has 3 streams") {
		t.Errorf("the fourth: %v", err)
	}
	open("bank/0").want(wildcard)
}

// TestReadRequest compares the decoder with protobuf's.
func TestReadRequest(t *testing.T) {
	want := &discoveryv3.DeltaDiscoveryRequest{
		TypeUrl: envoy.TypeCluster, ResponseNonce: "7", ResourceNamesSubscribe: []string{"a", "", "b"}, ResourceNamesUnsubscribe: []string{"c"},
		InitialResourceVersions: map[string]string{"a": "1", "b": "", "": "2"}, ErrorDetail: &statusv3.Status{Message: "no"},
	}
	data, err := proto.Marshal(want)
	kit.Must(t, err)
	got := &discoveryv3.DeltaDiscoveryRequest{}
	kit.Must(t, readRequest(data, got))
	if !proto.Equal(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
	for i := range data {
		_ = readRequest(data[:i], &discoveryv3.DeltaDiscoveryRequest{}) // no panic
	}
}

func FuzzReadRequest(f *testing.F) {
	seed, _ := proto.Marshal(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: "t", ResourceNamesSubscribe: []string{"a"}, InitialResourceVersions: map[string]string{"a": "1"}})
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		got, want := &discoveryv3.DeltaDiscoveryRequest{}, &discoveryv3.DeltaDiscoveryRequest{}
		if proto.Unmarshal(data, want) != nil {
			_ = readRequest(data, got)
			return
		}
		kit.Must(t, readRequest(data, got))
		if got.TypeUrl != want.TypeUrl || got.ResponseNonce != want.ResponseNonce || strings.Join(got.ResourceNamesSubscribe, "\n") != strings.Join(want.ResourceNamesSubscribe, "\n") ||
			len(got.InitialResourceVersions) != len(want.InitialResourceVersions) || (got.ErrorDetail != nil) != (want.ErrorDetail != nil) {
			t.Errorf("%v\nwant %v", got, want)
		}
	})
}
