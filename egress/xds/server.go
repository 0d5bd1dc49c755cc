package xds

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/util/cache"

	"github.com/outrider-mesh/outrider/egress"
)

// Server serves the sidecars. Its methods may be called concurrently.
type Server struct {
	auth     Authenticator
	observer Observer
	current  atomic.Pointer[generation] // nil before the first Publish

	publishing sync.Mutex
	labels     Labels // nil: no pod has labels

	limits      Limits
	connections *connections
	verdicts    verdicts
	searches    searches
	reports     *reportsService

	mu         sync.Mutex
	streams    map[*stream]bool
	pods       map[string][]*stream // by identity; the oldest first
	namespaces map[string]*usage
	bytes      int                   // of all namespaces
	rates      *cache.LRUExpireCache // *rate.Limiter by identity
}

// New makes a server without a configuration: it rejects streams until Publish.
func New(auth Authenticator, observer Observer, limits Limits) *Server {
	limits = limits.withDefaults()
	return &Server{
		auth: auth, observer: observer, limits: limits, reports: newReports(nil), connections: newConnections(limits, observer.connectionLimited),
		rates:    cache.NewLRUExpireCache(cachedTokens),
		verdicts: verdicts{votes: map[egress.Object]map[string]vote{}, settled: map[string]settled{}, objects: map[string]map[egress.Object]bool{}, changed: observer.judged},
		searches: searches{running: map[resourceKey]map[*stream]bool{}, budgets: map[string]*rate.Limiter{}},
		streams:  map[*stream]bool{}, pods: map[string][]*stream{}, namespaces: map[string]*usage{},
	}
}

// Publish updates every stream to a model. It does not wait for them.
func (s *Server) Publish(m *egress.Model) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	g := &generation{
		number: 1, published: time.Now(), model: m, next: make(chan struct{}), views: map[string]*view{}, omitting: map[string]weak.Pointer[view]{}, byVersion: map[string]*view{}, bySum: map[egress.Sum]*view{}, trials: map[string]*entry{},
		objects: sync.OnceValue(func() map[egress.Object]bool { return setOf(m.All()) }), services: sync.OnceValue(m.ServiceAddresses),
	}
	g.empty = sync.OnceValue(func() *egress.Model { return g.without(g.objects()) })
	s.verdicts.keep(g.objects())
	previous := s.current.Load()
	if previous != nil {
		g.number = previous.number + 1
		previous.mu.Lock()
		for _, v := range previous.views {
			g.byVersion[v.of.Version()] = v
		}
		g.sums = previous.bySum
		previous.mu.Unlock()
	}
	s.current.Store(g)
	if previous != nil {
		close(previous.next)
	}
}

func setOf(objects []egress.Object) map[egress.Object]bool {
	out := make(map[egress.Object]bool, len(objects))
	for _, o := range objects {
		out[o] = true
	}
	return out
}

// OnRejections sets what is called with the objects that sidecars reject, when they
// change. It is called before the server has streams, and f must not block.
func (s *Server) OnRejections(f func([]egress.Rejection)) {
	s.verdicts.changed = func(all []egress.Rejection) { s.observer.judged(all); f(all) }
}

// Ready reports whether a model was published.
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

// Rejections are the current rejections of connected sidecars, each once; those
// of most sidecars come first.
func (s *Server) Rejections() []RejectionSummary {
	summaries := map[string]*RejectionSummary{}
	for _, st := range s.Status() {
		for _, r := range st.Rejected {
			key := fmt.Sprintf("%s %q %q", r.TypeURL, r.Resources, r.Reason)
			if summaries[key] == nil {
				summaries[key] = &RejectionSummary{TypeURL: r.TypeURL, Resources: r.Resources, Reason: r.Reason, Example: r.Identity}
			}
			summaries[key].Sidecars++
		}
	}
	out := make([]RejectionSummary, 0, len(summaries))
	for _, key := range slices.Sorted(maps.Keys(summaries)) {
		out = append(out, *summaries[key])
	}
	slices.SortStableFunc(out, func(a, b RejectionSummary) int { return cmp.Compare(b.Sidecars, a.Sidecars) })
	return out
}

// Limits of connections.
const (
	// A stream keeps the identity that it was opened with, so its lifetime is
	// bounded and a new token is reviewed. Reconnecting is cheap: resources that
	// the sidecar already has are not sent again.
	connectionAge      = 30 * time.Minute
	connectionAgeGrace = 10 * time.Second
	// The sidecars send a keepalive every 30 s; the minimum is a third of that.
	minKeepalive     = 10 * time.Second
	keepaliveTime    = 30 * time.Second
	keepaliveTimeout = 10 * time.Second
	// A sidecar opens one stream.
	streamsPerConnection = 8
	// The headers have a token, of 1 to 2 KiB.
	maxHeaders = 16 << 10
	// The time for TLS and HTTP/2, before the first stream.
	handshakeTimeout = 10 * time.Second
	// The bytes of requests that a client may send ahead, of a stream and of a
	// connection: the default of HTTP/2, and the least that gRPC takes.
	window = 64 << 10
)

// writeBuffer is taken by each connection while it sends something, window updates too:
// a TLS record.
const writeBuffer = 16 << 10

// GRPC returns a gRPC server with the service registered, over TLS 1.2 or newer
// with the certificates of config.
func (s *Server) GRPC(config *tls.Config) *grpc.Server {
	config = config.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	g := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(config)),
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxConcurrentStreams(streamsPerConnection),
		grpc.MaxRecvMsgSize(s.limits.MessageBytes),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.ConnectionTimeout(handshakeTimeout),
		// Fixed windows: gRPC would let a client enlarge them to megabytes.
		grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(window),
		grpc.ReadBufferSize(0), // TLS has a buffer for what it reads
		grpc.WriteBufferSize(writeBuffer),
		grpc.UnknownServiceHandler(func(_ any, st grpc.ServerStream) error {
			connectionOf(st.Context()).reject()
			return status.Error(codes.Unimplemented, "unknown method: the server has delta ADS, and receives access logs and metrics")
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minKeepalive, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: connectionAge, MaxConnectionAgeGrace: connectionAgeGrace, Time: keepaliveTime, Timeout: keepaliveTimeout,
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
	s.reports.register(g, s)
	return g
}

// Bounded returns a listener with the connections of l, within the limits.
func (s *Server) Bounded(l net.Listener) net.Listener { return s.connections.listener(l) }

// PendingConnections is the number of connections without an accepted stream.
func (s *Server) PendingConnections() int { return s.connections.count() }

// serve handles one stream until it ends.
func (s *Server) serve(conn grpc.ServerStream) error {
	st, err := s.open(conn)
	if err != nil {
		return err
	}
	defer s.remove(st)
	defer connectionOf(conn.Context()).accept()()
	s.observer.connected(st.identity)
	defer s.observer.disconnected(st.identity)
	defer st.reports()()
	defer s.verdicts.left(st.identity)
	defer st.abandon()
	return s.observer.limited(st.identity, st.run())
}

// open registers a stream, or returns its error.
func (s *Server) open(conn grpc.ServerStream) (*stream, error) {
	from := connectionOf(conn.Context())
	id, err := s.admit(conn.Context(), from)
	if err != nil {
		from.reject()
		return nil, s.observer.streamRejected(from.named(err))
	}
	st := newStream(s, conn, id)
	if err := s.add(st); err != nil {
		from.reject()
		return nil, s.observer.limited(id, err)
	}
	if err := s.readLabels(conn.Context(), id); err != nil {
		s.remove(st)
		from.reject()
		return nil, s.observer.streamRejected(from.named(err))
	}
	return st, nil
}

// admit returns the identity of a stream's client.
func (s *Server) admit(ctx context.Context, from *connection) (Identity, error) {
	switch {
	case from.tooMany():
		return Identity{}, rejectStream(codes.Unavailable, "too many rejected streams of this connection", nil)
	case !s.Ready():
		return Identity{}, rejectStream(codes.Unavailable, "configuration not ready", nil)
	}
	return authenticate(ctx, s.auth)
}
