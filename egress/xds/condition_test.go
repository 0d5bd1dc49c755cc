package xds

import (
	"fmt"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statusv3 "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// TestConditions: a sidecar that has not confirmed a response for some time is behind, and
// one that rejects something is counted once, until it accepts it.
func TestConditions(t *testing.T) {
	s := serve(t)
	s.Publish(modelOf(t, "ALLOW_ANY"))
	c := s.dial(t, "Bearer shop/web")
	c.subscribe(envoy.TypeRoute, "80")
	nonce := c.receive("RouteConfiguration +80")
	in := func(d time.Duration) Conditions { return s.Conditions(time.Now().Add(d)) }
	if got := in(0); got.Connected != 1 || got.Behind+got.Rejecting != 0 {
		t.Errorf("at first: %+v", got)
	}
	if got := in(time.Minute); got.Behind != 1 || len(got.Problems) != 1 || got.Problems[0].Identity.Pod != "web" || got.Problems[0].Since.IsZero() {
		t.Errorf("a response that is not confirmed: %+v", got)
	}
	kit.Must(t, c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeRoute, ResponseNonce: nonce, ErrorDetail: &statusv3.Status{Message: "no such filter"}}))
	kit.Eventually(t, "the rejection is counted", func() error {
		got := in(0)
		if got.Rejecting != 1 || got.Behind != 0 || got.Problems[0].Rejected.Reason != "no such filter" {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	s.Publish(modelOf(t, "REGISTRY_ONLY"))
	nonce = c.receive("RouteConfiguration +80")
	kit.Must(t, c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeRoute, ResponseNonce: nonce}))
	kit.Eventually(t, "the acceptance is counted", func() error {
		if got := in(time.Hour); got.Rejecting+got.Behind != 0 {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
}
