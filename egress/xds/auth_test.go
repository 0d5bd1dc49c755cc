package xds

import (
	"context"
	runtimemetrics "runtime/metrics"
	"sync"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/outrider-mesh/outrider/test/kit"
)

// deepStack needs a stack of a megabyte.
func deepStack(n int) byte {
	var page [1 << 10]byte
	if n > 0 {
		page[n] = deepStack(n-1) + 1
	}
	return page[n]
}

// TestAuthenticate_Stack has streams that wait after their tokens were verified, which takes
// a large stack: they do not keep it.
func TestAuthenticate_Stack(t *testing.T) {
	const streams = 100
	auth := AuthenticatorFunc(func(context.Context, string) (Identity, error) {
		deepStack(1000)
		return Identity{Namespace: "shop", Pod: "sleep"}, nil
	})
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer token"))
	var running sync.WaitGroup
	wait := make(chan struct{})
	before := stackBytes()
	for range streams {
		verified := make(chan error)
		running.Go(func() {
			_, err := authenticate(ctx, auth)
			verified <- err
			<-wait
		})
		kit.Must(t, <-verified)
	}
	if got := (stackBytes() - before) / streams; got > 100<<10 {
		t.Errorf("a stream that waits has a stack of %d KiB", got>>10)
	}
	close(wait)
	running.Wait()
}

func stackBytes() int {
	s := []runtimemetrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
	runtimemetrics.Read(s)
	return int(s[0].Value.Uint64())
}
