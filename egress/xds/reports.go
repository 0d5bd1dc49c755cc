package xds

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/util/cache"

	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/egress/report"
)

// Reports receives what sidecars report about connections and requests to undeclared
// destinations. Its methods are called concurrently.
type Reports interface {
	// Workload is what the pod of an identity belongs to.
	Workload(ctx context.Context, of Identity) report.Workload
	// Observe counts destinations of a workload. The list is used again afterwards.
	Observe(namespace string, of report.Workload, all []report.DestinationReport)
}

// Limits of reports. Everything over them is lost for the report and for nothing else:
// the server reads slower, and Envoy drops entries that do not fit its buffers.
const (
	// A sidecar has a stream for HTTP and one for TCP of each of its worker threads with
	// undeclared traffic: two, unless concurrency is set. A client with as many streams as
	// it may have makes the server hold a message of MessageBytes in each: 2 MiB of a pod,
	// and with all that there may be 500 MiB of a namespace for reportIdle, which takes
	// 250 pods that all do so.
	reportStreamsPerPod       = 8
	reportStreamsPerNamespace = 2000
	reportStreams             = 4000
	// reportOpensPerMinute are the streams that a pod opens, after as many at once. An idle
	// stream is closed after reportIdle, so that a sidecar opens 16 a minute at most.
	reportOpensPerMinute = 60
	// A sidecar has one stream of its counts, and a second one for a moment when it connects
	// to another replica; a replica has as many as it may have streams of configurations,
	// whose memory includes them.
	countStreamsPerPod = 2
	countStreams       = DefaultStreams
	// reportIdle is the time for the next message of a stream. The connection of a worker
	// thread, which has no other streams, is closed soon after: see pendingTimeout.
	reportIdle = 30 * time.Second
	// countingIdle is that time after a sidecar was switched to counters. The connection is
	// closed at once: where 1,000 pods start in a minute, each has two for some seconds.
	countingIdle = 2 * time.Second
	// Entries per second, after reportBurst at once, of a pod, of a namespace and of all. An
	// entry takes 0.8 us to decode and count (BenchmarkReports), and 4.5 us with all that a
	// message takes (BenchmarkReportLoad): 120,000 take half a core. It is what 1,000
	// sidecars report with 60 forwarded connections a second each, of two entries.
	reportsPerPod       = 500
	reportsPerNamespace = 40_000
	reportsPerSecond    = 120_000
	reportBurst         = 4 // seconds
	// bytesPerReport counts a message by its size, too: an entry has some 700 bytes.
	bytesPerReport = 1 << 10
)

// The names of limits, in metrics and logs.
const (
	limitReportStreams = "report_streams"
	limitReportRate    = "report_streams_per_minute"
)

// reportsService is the access log service, and the metrics service.
type reportsService struct {
	to       Reports // nil: what sidecars report is discarded
	all      *rate.Limiter
	idle     time.Duration
	seed     maphash.Seed
	mu       sync.Mutex
	counts   map[string]int // by kind, and its namespaces and identities
	opens    *cache.LRUExpireCache
	limiters *cache.LRUExpireCache
}

// reportKind is what a stream has.
type reportKind struct {
	name                            string
	perPod, perNamespace, ofAllPods int
}

var (
	logReports   = reportKind{"streams of reports", reportStreamsPerPod, reportStreamsPerNamespace, reportStreams}
	countReports = reportKind{"streams of counts", countStreamsPerPod, countStreams, countStreams}
)

func newReports(to Reports) *reportsService {
	return &reportsService{
		to: to, idle: reportIdle, seed: maphash.MakeSeed(), all: rate.NewLimiter(reportsPerSecond, reportsPerSecond*reportBurst), counts: map[string]int{},
		opens: cache.NewLRUExpireCache(cachedTokens), limiters: cache.NewLRUExpireCache(2 * cachedTokens),
	}
}

// ReceiveReports makes the server receive reports. It is called before GRPC.
func (s *Server) ReceiveReports(to Reports) { s.reports = newReports(to) }

// register adds the services to a gRPC server. Sidecars send metrics whether the server
// receives reports or not, and to a server without the service they would do it on a
// new stream each time.
func (r *reportsService) register(g *grpc.Server, s *Server) {
	for service, stream := range map[string]grpc.StreamDesc{
		"envoy.service.accesslog.v3.AccessLogService": {StreamName: "StreamAccessLogs", Handler: s.receiveLogs},
		"envoy.service.metrics.v3.MetricsService":     {StreamName: "StreamMetrics", Handler: s.receiveCounts},
	} {
		stream.ClientStreams = true
		g.RegisterService(&grpc.ServiceDesc{ServiceName: service, HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{stream}}, s)
	}
}

// reportStream is an accepted stream of reports; end is called after it with its error.
type reportStream struct {
	server   *Server
	conn     grpc.ServerStream
	identity Identity
	from     *connection
	limits   []*rate.Limiter
	end      func(error) error
}

// openReports accepts a stream of reports, or returns its error.
func (s *Server) openReports(conn grpc.ServerStream, kind reportKind) (*reportStream, error) {
	from := connectionOf(conn.Context())
	id, err := s.admit(conn.Context(), from)
	if err != nil {
		from.reject()
		return nil, s.observer.streamRejected(from.named(err))
	}
	end, err := s.reports.open(id, kind)
	if err != nil {
		if kind == logReports { // counts come over the connection of the configuration
			from.reject()
		}
		return nil, s.observer.limited(id, err)
	}
	settle := from.accept()
	return &reportStream{s, conn, id, from, s.reports.limitsOf(id), func(err error) error {
		settle()
		end()
		return s.observer.limited(id, err)
	}}, nil
}

// receiveLogs handles a stream of access logs until it ends.
func (s *Server) receiveLogs(_ any, conn grpc.ServerStream) (err error) {
	r, err := s.openReports(conn, logReports)
	if err != nil {
		return err
	}
	defer func() { err = r.end(err) }()
	if err = r.readLogs(); errors.Is(err, errLastEntries) {
		r.from.closeUnused()
		return nil
	}
	return err
}

// receiveCounts handles a stream of counts until it ends.
func (s *Server) receiveCounts(_ any, conn grpc.ServerStream) (err error) {
	r, err := s.openReports(conn, countReports)
	if err != nil {
		return err
	}
	defer func() { err = r.end(err) }()
	for err == nil {
		err = r.readCounts()
	}
	return err
}

// open counts a stream; end is called after it.
func (r *reportsService) open(id Identity, kind reportKind) (end func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, namespace, pod := kind.name, kind.name+" "+id.Namespace, kind.name+" "+id.Namespace+" "+id.String()
	opens := cached(r.opens, pod, func() *rate.Limiter {
		return rate.NewLimiter(rate.Limit(reportOpensPerMinute)/60, reportOpensPerMinute)
	})
	switch {
	case !opens.Allow():
		return nil, exceeds(limitReportRate, "%s opens more than %d %s a minute", id, reportOpensPerMinute, kind.name)
	case r.counts[pod] >= kind.perPod:
		return nil, exceeds(limitReportStreams, "%s has %d %s, which is the limit", id, kind.perPod, kind.name)
	case r.counts[namespace] >= kind.perNamespace:
		return nil, exceeds(limitReportStreams, "namespace %s has %d %s, which is the limit", id.Namespace, kind.perNamespace, kind.name)
	case r.counts[all] >= kind.ofAllPods:
		return nil, exceeds(limitReportStreams, "there are %d %s, which is the limit", kind.ofAllPods, kind.name)
	}
	for _, key := range []string{all, namespace, pod} {
		r.counts[key]++
	}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, key := range []string{all, namespace, pod} {
			if r.counts[key]--; r.counts[key] == 0 {
				delete(r.counts, key)
			}
		}
	}, nil
}

func cached(in *cache.LRUExpireCache, key string, make func() *rate.Limiter) *rate.Limiter {
	if l, ok := in.Get(key); ok {
		return l.(*rate.Limiter)
	}
	l := make()
	in.Add(key, l, time.Hour)
	return l
}

// limiter limits the entries of a pod or namespace per second.
func (r *reportsService) limiter(key string, perSecond int) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	return cached(r.limiters, key, func() *rate.Limiter { return rate.NewLimiter(rate.Limit(perSecond), perSecond*reportBurst) })
}

// limitsOf are the limits of a pod's entries.
func (r *reportsService) limitsOf(id Identity) []*rate.Limiter {
	return []*rate.Limiter{r.limiter("pod "+id.String(), reportsPerPod), r.limiter("namespace "+id.Namespace, reportsPerNamespace), r.all}
}

// first is how a sidecar reports at first.
func (r *reportsService) first() envoy.ReportMode {
	if r.to == nil {
		return envoy.ReportNothing
	}
	return envoy.ReportEntries
}

// reportMessage is a message of a stream.
type reportMessage interface {
	// size is the number of entries, or of names, and of bytes.
	size() (entries, bytes int)
}

// entriesOf are the entries that a message counts as.
func entriesOf(m reportMessage) int {
	entries, bytes := m.size()
	return max(entries, bytes/bytesPerReport)
}

// readCounts counts what a message of counts has. There is no goroutine to receive, and no
// limit for being idle: 1,000 sidecars have such a stream each, over the connection of their
// configuration, which is closed when they do not answer. Its stack has 8 KiB, while what
// waits for a message takes little of it: of 16 KiB a quarter.
func (r *reportStream) readCounts() (err error) {
	m := &countsMessage{}
	if err := r.conn.RecvMsg(m); err != nil {
		return r.server.receiveError(err)
	}
	aside(func() {
		var entries int
		if entries, err = r.server.readCount(r.conn.Context(), r.identity, m); err == nil {
			err = pause(r.conn.Context(), r.limits, entries)
		}
	})
	return err
}

// readCount decodes and counts a message.
func (s *Server) readCount(ctx context.Context, id Identity, message *countsMessage) (entries int, err error) {
	defer message.data.Free()
	m := decodedCounts.Get().(*metricCounts)
	defer m.release()
	if err := readParts(message.data, func(b []byte) error { return readMetrics(b, m) }); err != nil {
		return 0, status.Error(codes.Internal, err.Error())
	}
	if s.reports.to != nil {
		s.countMetrics(ctx, id, m)
	}
	return entriesOf(m), nil
}

// errLastEntries ends a stream whose sidecar counts from now on.
var errLastEntries = errors.New("the sidecar counts")

// readLogs counts what a stream of access logs has.
func (r *reportStream) readLogs() error {
	ctx, s, conn := r.conn.Context(), r.server, r.conn
	received, failed, done := make(chan logsMessage), make(chan error, 1), make(chan struct{})
	defer close(done)
	go func() {
		for {
			var m logsMessage
			if err := conn.RecvMsg(&m); err != nil {
				failed <- err
				return
			}
			select { // also the last one of a sidecar that ends, whose stream is canceled then
			case received <- m:
			case <-done:
				return
			}
		}
	}()
	idle, last := time.NewTimer(s.reports.idle), error(nil)
	defer idle.Stop()
	var counts <-chan struct{} // is closed when the sidecar counts, by entries of any of its threads
	for {
		select {
		case err := <-failed:
			return s.receiveError(err)
		case <-idle.C:
			return last // the next report opens another one
		case <-counts:
			idle.Reset(countingIdle) // its sidecar sends the rest of a buffer, of half a second
			counts, last = nil, errLastEntries
		case m := <-received:
			counts = s.countLogs(ctx, r.identity, m.accessLogs)
			entries := entriesOf(m)
			m.release()
			if err := pause(ctx, r.limits, entries); err != nil {
				return err
			}
			idle.Reset(s.reports.idle)
			last = nil
		}
	}
}

// receiveError is the error of a stream whose next message was not received.
func (s *Server) receiveError(err error) error {
	if status.Code(err) == codes.ResourceExhausted {
		return exceeds(limitMessage, "a report exceeds %d bytes", s.limits.MessageBytes)
	}
	return err
}

// countLogs counts what a message of access logs has. The result is closed when the sidecar
// is to count from then on; nil: it is not known.
func (s *Server) countLogs(ctx context.Context, id Identity, m *accessLogs) (counts <-chan struct{}) {
	if s.reports.to == nil || len(m.destinations) == 0 {
		return nil
	}
	m.at(time.Now()) // the time of a sidecar is its own
	of := s.reports.to.Workload(ctx, id)
	s.reports.to.Observe(id.Namespace, of, m.destinations)
	if st := s.streamOf(id); st != nil {
		return st.received(of.Kind, m.entries)
	}
	return nil
}

// countMetrics counts what a message of metrics has, and decides how the sidecar reports.
func (s *Server) countMetrics(ctx context.Context, id Identity, m *metricCounts) {
	st, now := s.streamOf(id), time.Now()
	m.reports = m.undeclaredReports(m.reports, now)
	m.reports = st.declaredReports(m.reports, m.declared, now)
	if len(m.reports)+len(m.undeclared) == 0 && m.written == 0 {
		return
	}
	of := s.reports.to.Workload(ctx, id)
	if st != nil {
		st.observe(s.reports.seed, of.Kind, m.written, m.undeclared)
	}
	if len(m.reports) > 0 {
		s.reports.to.Observe(id.Namespace, of, m.reports)
	}
}

// pause waits until as many entries are within the limits.
func pause(ctx context.Context, limits []*rate.Limiter, entries int) error {
	var delay time.Duration
	now := time.Now()
	for _, l := range limits {
		delay = max(delay, l.ReserveN(now, min(entries, l.Burst())).DelayFrom(now))
	}
	if delay == 0 {
		return nil
	}
	wait := time.NewTimer(delay)
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
