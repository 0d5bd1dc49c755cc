package webhook

import (
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/go-logr/logr"
)

// ServerOptions configure a Server.
type ServerOptions struct {
	// Address is the bind address, HOST:PORT or :PORT.
	Address string
	// TLS is the configuration of its connections.
	TLS *tls.Config
	// Clients authenticates clients; may be nil.
	Clients *ClientCA
	// Limits bound its connections.
	Limits Limits
	// Leaving reports whether the replica is about to end; nil means never. From then on
	// each response closes its connection: one that is kept open until the end may be
	// closed while the API server sends a review on it, which it does not repeat.
	Leaving func() bool
	// ReserveHeap makes garbage collections rarer: see heapReserve. It is for a replica that
	// does little else than to answer reviews of pods.
	ReserveHeap bool
	// Metrics counts the connections.
	Metrics *Metrics
	// Log gets the errors of connections, at level 1.
	Log logr.Logger
}

const (
	// headerTimeout is how long a TLS handshake may take, and the headers of a request.
	headerTimeout = 5 * time.Second
	// idleTimeout is that of the API server's client, so that this side is rarely the
	// first to close a connection.
	idleTimeout = 2 * time.Minute
	// requestTimeout is for what other handlers of the port read and write.
	requestTimeout = 30 * time.Second
	// maxHeaders is the size of a request's headers: the API server's have 400 bytes.
	maxHeaders = 16 << 10
	// drainTimeout is the wait for requests being served at the end.
	drainTimeout = time.Minute
)

func (o ServerOptions) check() error {
	_, text, err := net.SplitHostPort(o.Address)
	if err != nil {
		return fmt.Errorf("webhook address %q: %w; use HOST:PORT or :PORT", o.Address, err)
	}
	if port, err := strconv.ParseUint(text, 10, 16); err != nil || port == 0 {
		return fmt.Errorf("webhook address %q: port number must be in the range 1..65535", o.Address)
	}
	return nil
}
