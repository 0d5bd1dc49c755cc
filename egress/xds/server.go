package xds

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/outrider-mesh/outrider/egress"
)

// Server serves the sidecars. Its methods may be called by many goroutines.
type Server struct {
	auth     Authenticator
	observer Observer
	current  atomic.Pointer[generation] // nil before the first Publish

	publishing sync.Mutex

	mu      sync.Mutex
	streams map[*stream]bool
}

// New makes a server that has nothing to serve yet.
func New(auth Authenticator, observer Observer) *Server {
	return &Server{auth: auth, observer: observer, streams: map[*stream]bool{}}
}

// Publish leads every stream to a model, and returns at once.
func (s *Server) Publish(m *egress.Model) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	g := &generation{number: 1, model: m, next: make(chan struct{}), views: map[string]*view{}, made: map[string]*view{}}
	before := s.current.Load()
	if before != nil {
		g.number = before.number + 1
		before.mu.Lock()
		for _, v := range before.views {
			g.made[v.of.Version()] = v
		}
		before.mu.Unlock()
	}
	s.current.Store(g)
	if before != nil {
		close(before.next)
	}
}

// Ready reports whether there is anything to serve.
func (s *Server) Ready() bool { return s.current.Load() != nil }

// Status lists the streams, sorted by identity and age.
func (s *Server) Status() []StreamStatus {
	s.mu.Lock()
	all := make([]*stream, 0, len(s.streams))
	for st := range s.streams {
		all = append(all, st)
	}
	s.mu.Unlock()
	out := make([]StreamStatus, 0, len(all))
	for _, st := range all {
		out = append(out, st.status())
	}
	slices.SortFunc(out, func(a, b StreamStatus) int {
		return cmp.Or(cmp.Compare(a.Identity.String(), b.Identity.String()), a.Since.Compare(b.Since))
	})
	return out
}

// Rejections are what connected sidecars do not take now, each once, those of
// most sidecars first.
func (s *Server) Rejections() []RejectionSummary {
	byWhat := map[string]*RejectionSummary{}
	for _, st := range s.Status() {
		for _, r := range st.Rejected {
			key := fmt.Sprintf("%s %q %q", r.TypeURL, r.Resources, r.Reason)
			if byWhat[key] == nil {
				byWhat[key] = &RejectionSummary{TypeURL: r.TypeURL, Resources: r.Resources, Reason: r.Reason, Example: r.Identity}
			}
			byWhat[key].Sidecars++
		}
	}
	out := make([]RejectionSummary, 0, len(byWhat))
	for _, key := range slices.Sorted(maps.Keys(byWhat)) {
		out = append(out, *byWhat[key])
	}
	slices.SortStableFunc(out, func(a, b RejectionSummary) int { return cmp.Compare(b.Sidecars, a.Sidecars) })
	return out
}

// Limits of connections.
const (
	// A stream keeps the identity that it was opened with, so it ends from time
	// to time and a fresh token is checked. Reconnecting costs nothing: what the
	// sidecar has is not sent again.
	connectionAge      = 30 * time.Minute
	connectionAgeGrace = 10 * time.Second
	// The sidecars' own probe is every 30 s; a third of that leaves room.
	leastProbe = 10 * time.Second
	probe      = 30 * time.Second
	probeWait  = 10 * time.Second
	// A sidecar has one stream.
	streamsPerConnection = 8
)

// readBuffer is what a connection keeps for what it reads: a sidecar says little.
const readBuffer = 4 << 10

// GRPC makes the gRPC server with the service on it, over TLS 1.2 or newer with
// the certificates of config.
func (s *Server) GRPC(config *tls.Config) *grpc.Server {
	config = config.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	g := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(config)),
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxConcurrentStreams(streamsPerConnection),
		grpc.ReadBufferSize(readBuffer),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: leastProbe, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: connectionAge, MaxConnectionAgeGrace: connectionAgeGrace, Time: probe, Timeout: probeWait,
		}),
	)
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: "envoy.service.discovery.v3.AggregatedDiscoveryService",
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName: "DeltaAggregatedResources", ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, st grpc.ServerStream) error { return s.serve(st) },
		}},
	}, s)
	return g
}

// serve serves one stream until it ends.
func (s *Server) serve(conn grpc.ServerStream) error {
	ctx := conn.Context()
	if !s.Ready() {
		return s.observer.refused(refuse(codes.Unavailable, "the configuration is not known yet", nil))
	}
	id, err := authenticate(ctx, s.auth)
	if err != nil {
		return s.observer.refused(err)
	}
	st := newStream(s, conn, id)
	s.mu.Lock()
	s.streams[st] = true
	s.mu.Unlock()
	s.observer.connected(id)
	defer func() {
		s.mu.Lock()
		delete(s.streams, st)
		s.mu.Unlock()
		s.observer.disconnected(id)
	}()
	return st.run()
}
