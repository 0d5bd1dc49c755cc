package xds

import (
	"context"
	"errors"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
)

// endless is a stream with a request at any time.
type endless struct {
	grpc.ServerStream
	ctx context.Context
}

func (e endless) RecvMsg(any) error { return nil }

func (e endless) Context() context.Context { return e.ctx }

// TestStream_EndsWhileARequestIsHandedOver cancels the stream while the receiver
// waits for run, which handles something else: run must learn of it.
func TestStream_EndsWhileARequestIsHandedOver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	st := &stream{conn: endless{ctx: ctx}}
	failed := make(chan error, 1)
	go st.receive(make(chan *discoveryv3.DeltaDiscoveryRequest), failed)
	cancel()
	select {
	case err := <-failed:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the receiver ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the receiver did not report the end of the stream")
	}
}
