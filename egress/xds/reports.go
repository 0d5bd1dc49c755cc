package xds

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/util/cache"

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
	// reportIdle is the time for the next message of a stream. The connection of a worker
	// thread, which has no other streams, is closed soon after: see pendingTimeout.
	reportIdle = 30 * time.Second
	// Entries per second, after reportBurst at once, of a pod, of a namespace and of all. An
	// entry takes 0.8 us to decode and count (BenchmarkReports), and 4 us with all that a
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

// reportsService is the access log service.
type reportsService struct {
	to       Reports
	all      *rate.Limiter
	idle     time.Duration
	mu       sync.Mutex
	count    int
	counts   map[string]int // by namespace, and by identity
	opens    *cache.LRUExpireCache
	limiters *cache.LRUExpireCache
}

// ReceiveReports makes the server receive reports. It is called before GRPC.
func (s *Server) ReceiveReports(to Reports) {
	s.reports = &reportsService{
		to: to, idle: reportIdle, all: rate.NewLimiter(reportsPerSecond, reportsPerSecond*reportBurst), counts: map[string]int{},
		opens: cache.NewLRUExpireCache(cachedTokens), limiters: cache.NewLRUExpireCache(2 * cachedTokens),
	}
}

// register adds the service to a gRPC server.
func (r *reportsService) register(g *grpc.Server, s *Server) {
	if r == nil {
		return
	}
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: "envoy.service.accesslog.v3.AccessLogService",
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName: "StreamAccessLogs", ClientStreams: true,
			Handler: func(_ any, conn grpc.ServerStream) error { return s.receive(conn) },
		}},
	}, s)
}

// receive handles one stream of reports until it ends.
func (s *Server) receive(conn grpc.ServerStream) error {
	from := connectionOf(conn.Context())
	id, err := s.admit(conn.Context(), from)
	if err != nil {
		from.reject()
		return s.observer.streamRejected(from.named(err))
	}
	end, err := s.reports.open(id)
	if err != nil {
		from.reject()
		return s.observer.limited(id, err)
	}
	defer end()
	defer from.accept()()
	return s.observer.limited(id, s.reports.read(conn, id, s.limits.MessageBytes))
}

// open counts a stream; end is called after it.
func (r *reportsService) open(id Identity) (end func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pod, namespace := "pod "+id.String(), "namespace "+id.Namespace
	opens := cached(r.opens, pod, func() *rate.Limiter {
		return rate.NewLimiter(rate.Limit(reportOpensPerMinute)/60, reportOpensPerMinute)
	})
	switch {
	case !opens.Allow():
		return nil, exceeds(limitReportRate, "%s opens more than %d streams of reports a minute", id, reportOpensPerMinute)
	case r.counts[pod] >= reportStreamsPerPod:
		return nil, exceeds(limitReportStreams, "%s has %d streams of reports, which is the limit", id, reportStreamsPerPod)
	case r.counts[namespace] >= reportStreamsPerNamespace:
		return nil, exceeds(limitReportStreams, "namespace %s has %d streams of reports, which is the limit", id.Namespace, reportStreamsPerNamespace)
	case r.count >= reportStreams:
		return nil, exceeds(limitReportStreams, "there are %d streams of reports, which is the limit", reportStreams)
	}
	r.count++
	r.counts[pod]++
	r.counts[namespace]++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.count--
		for _, key := range []string{pod, namespace} {
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

// read counts what a stream reports.
func (r *reportsService) read(conn grpc.ServerStream, id Identity, messageBytes int) error {
	ctx := conn.Context()
	limits := []*rate.Limiter{r.limiter("pod "+id.String(), reportsPerPod), r.limiter("namespace "+id.Namespace, reportsPerNamespace), r.all}
	received, failed := make(chan *accessLogs), make(chan error, 1)
	go func() {
		for {
			logs := decoded.Get().(*accessLogs)
			if err := conn.RecvMsg(logs); err != nil {
				failed <- err
				return
			}
			select {
			case received <- logs:
			case <-ctx.Done():
				return
			}
		}
	}()
	workload := r.to.Workload(ctx, id)
	idle := time.NewTimer(r.idle)
	defer idle.Stop()
	for {
		select {
		case err := <-failed:
			if status.Code(err) == codes.ResourceExhausted {
				return exceeds(limitMessage, "a report exceeds %d bytes", messageBytes)
			}
			return err
		case <-idle.C:
			return nil // the next report opens another one
		case logs := <-received:
			logs.at(time.Now()) // the time of a sidecar is its own
			r.to.Observe(id.Namespace, workload, logs.destinations)
			entries := max(logs.entries, logs.bytes/bytesPerReport)
			logs.release()
			if err := pause(ctx, limits, entries); err != nil {
				return err
			}
			idle.Reset(r.idle)
		}
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
