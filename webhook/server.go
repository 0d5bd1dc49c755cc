package webhook

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/go-logr/logr"

	"github.com/outrider-mesh/outrider/internal/connlimit"
)

// Server is the HTTPS port of the handlers, in the form of controller-runtime's
// webhook.Server. Its connections are limited, so that a client that opens many, or is
// slow, occupies none of the API server's.
type Server struct {
	options ServerOptions
	mux     *http.ServeMux
	started atomic.Bool
}

// NewServer makes a server without handlers.
func NewServer(o ServerOptions) (*Server, error) {
	if err := errors.Join(o.check(), o.Clients.configure(o.TLS)); err != nil {
		return nil, err
	}
	o.Limits = o.Limits.withDefaults()
	return &Server{options: o, mux: http.NewServeMux()}, nil
}

// NeedLeaderElection is false: every replica answers.
func (s *Server) NeedLeaderElection() bool { return false }

// Register adds a handler for a path.
func (s *Server) Register(path string, h http.Handler) { s.mux.Handle(path, h) }

// WebhookMux returns the handlers.
func (s *Server) WebhookMux() *http.ServeMux { return s.mux }

// Start serves until ctx is done and the requests being served are answered.
func (s *Server) Start(ctx context.Context) error {
	port, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.options.Address)
	if err != nil {
		return fmt.Errorf("listen for the API server: %w", err)
	}
	if s.options.ReserveHeap {
		defer reserveHeap()()
	}
	server := s.server(ctx)
	drained := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		over, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		drained <- server.Shutdown(over)
	})
	s.options.Log.Info("listening for the API server", "address", port.Addr().String())
	s.started.Store(true)
	if err := server.ServeTLS(s.limited(port), "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the API server: %w", err)
	}
	if err := <-drained; err != nil {
		s.options.Log.Error(err, "requests were not answered at the end")
	}
	return nil
}

func (s *Server) server(ctx context.Context) *http.Server {
	return &http.Server{
		Handler: s.leaving(s.mux), TLSConfig: s.options.TLS,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ConnContext: connlimit.Context, ConnState: connlimit.State,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaders,
		ErrorLog: log.New(debugLog{s.options.Log, newLogLimit()}, "", 0),
	}
}

// leaving closes each connection after its response once the replica is about to end.
func (s *Server) leaving(next http.Handler) http.Handler {
	if s.options.Leaving == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.options.Leaving() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) limited(port net.Listener) *connlimit.Listener {
	o := s.options
	return connlimit.Listen(port, connlimit.Options{
		Total: o.Limits.Connections, PerSource: o.Limits.ConnectionsPerSource, PerSecond: o.Limits.ConnectionRate,
		Changed: func(open int) { o.Metrics.connections.Set(float64(open)) },
		Closed:  func(limit string) { o.Metrics.connectionsClosed.WithLabelValues(limit).Inc() },
	})
}

// debugLog gets the errors of connections, such as of TLS handshakes: any client can
// cause as many as it likes, so they are limited at level 1, too.
type debugLog struct {
	log   logr.Logger
	limit *logLimit
}

func (d debugLog) Write(line []byte) (int, error) {
	if log := d.log.V(1); log.Enabled() {
		if omitted, ok := d.limit.allow(); ok {
			log.Info("connection", "error", string(line), "omitted", omitted)
		}
	}
	return len(line), nil
}
