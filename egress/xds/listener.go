package xds

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
)

// Listener serves a Server's streams on an address. It is a manager's runnable.
type Listener struct {
	Server  *Server
	Address string // HOST:PORT or :PORT
	TLS     *tls.Config
	Log     logr.Logger
	// AdaptGC adapts GOGC: the process is a control plane alone, and it is not set.
	AdaptGC bool
}

// NeedLeaderElection is false: every replica serves sidecars.
func (l *Listener) NeedLeaderElection() bool { return false }

// Start serves until ctx is done.
func (l *Listener) Start(ctx context.Context) error {
	port, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.Address)
	if err != nil {
		return fmt.Errorf("listen for sidecars: %w", err)
	}
	g := l.Server.GRPC(l.TLS)
	failed := make(chan error, 1)
	go func() { failed <- g.Serve(l.Server.Bounded(port)) }()
	trimming, end := context.WithCancel(ctx)
	defer end()
	go trim(trimming)
	if l.AdaptGC {
		go adaptGarbage(trimming, garbageTime)
	}
	l.Log.Info("listening for sidecars", "address", port.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("serve sidecars: %w", err)
	case <-ctx.Done():
	}
	stop(g)
	if err := <-failed; err != nil {
		return fmt.Errorf("serve sidecars: %w", err)
	}
	return nil
}

// lastResponses is the time for responses that are being sent when the server
// stops. A stream itself has no end; its sidecar connects to another replica.
const lastResponses = 500 * time.Millisecond

// stop asks the sidecars to connect elsewhere, and ends their streams soon after.
func stop(g *grpc.Server) {
	over := time.AfterFunc(lastResponses, g.Stop)
	defer over.Stop()
	g.GracefulStop()
}
