package xds

import (
	"fmt"
	"math"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Limits bound what the clients of one pod, and of one namespace, can use of a
// replica. A client over a limit is rejected or disconnected, and no other is. A
// field that is 0 is the default.
type Limits struct {
	// MessageBytes is the size of a request. A sidecar's largest is its first after a
	// reconnect: some 150 bytes for each host that it has used, so 1,700 hosts.
	MessageBytes int
	// NamesPerStream are the names that a stream subscribes to, of all types.
	NamesPerStream int
	// StreamsPerPod are the streams of one pod; the oldest is closed for a new one. A
	// sidecar has one, and a second while it reconnects. A token that is not bound to
	// a pod counts as one.
	StreamsPerPod int
	// StreamsPerMinute are those that a pod opens, after as many at once. A sidecar opens
	// one, and one in 30 minutes.
	StreamsPerMinute int
	// StreamsPerNamespace are the streams of a namespace's pods. 3,000 pods is what
	// Kubernetes supports in a namespace.
	StreamsPerNamespace int
	// Streams are those of all namespaces. A sidecar takes 100 KiB, with the stream of its
	// counts and what TLS keeps (BenchmarkReportLoad), so 3,000 take 293 MiB.
	Streams int
	// NamespaceBytes is the memory for the subscriptions of a namespace. A host in use
	// takes 210 bytes, so 64 MiB are 2,000 sidecars with 150 hosts in use each.
	NamespaceBytes int
	// Bytes is the memory for the subscriptions of all namespaces: 3,000 sidecars with
	// 150 hosts in use each.
	Bytes int
	// ConnectionsPerSource and Connections are those without an accepted stream, of a
	// source address and of all, of 15 KiB each. 250 are the pods of a large node, where a
	// node translates their addresses.
	ConnectionsPerSource, Connections int
}

// The defaults of Limits.
const (
	DefaultMessageBytes         = 256 << 10
	DefaultNamesPerStream       = 10_000
	DefaultStreamsPerPod        = 2
	DefaultStreamsPerMinute     = 30
	DefaultStreamsPerNamespace  = 3000
	DefaultStreams              = 3000
	DefaultNamespaceBytes       = 64 << 20
	DefaultBytes                = 96 << 20
	DefaultConnectionsPerSource = 250
	DefaultConnections          = 1000
)

// fields are the limits with their defaults.
func (l *Limits) fields() map[*int]int {
	return map[*int]int{
		&l.MessageBytes: DefaultMessageBytes, &l.NamesPerStream: DefaultNamesPerStream, &l.StreamsPerPod: DefaultStreamsPerPod,
		&l.StreamsPerMinute: DefaultStreamsPerMinute, &l.StreamsPerNamespace: DefaultStreamsPerNamespace, &l.Streams: DefaultStreams,
		&l.NamespaceBytes: DefaultNamespaceBytes, &l.Bytes: DefaultBytes,
		&l.ConnectionsPerSource: DefaultConnectionsPerSource, &l.Connections: DefaultConnections,
	}
}

func (l Limits) withDefaults() Limits {
	for field, value := range l.fields() {
		if *field <= 0 {
			*field = value
		}
	}
	return l
}

// Least is the smallest of the limits.
func (l Limits) Least() int {
	least := math.MaxInt
	for field := range l.fields() {
		least = min(least, *field)
	}
	return least
}

// Limits that no cluster needs to change.
const (
	// nameBytes is the length of a name. The longest of a resource is that of a
	// cluster: outbound|65535||, and a host name of 253 bytes.
	nameBytes = 300
	// nameOverhead is what a name takes beside its bytes: entries of two maps. See
	// BenchmarkMemory.
	nameOverhead = 170
	// reasonBytes is what is kept of Envoy's reason of a rejection.
	reasonBytes = 4 << 10
	// pendingResponses are the unacknowledged responses of a stream, and pendingNames
	// the resources in them: a sidecar acknowledges each response at once.
	pendingResponses = 1000
	pendingNames     = 50_000
	// pendingOverhead is the memory of such a response, and pendingName that of a
	// resource in it.
	pendingOverhead = 200
	pendingName     = 32
	// omissionBytes is the memory of an object that a stream omits: in its set, and its
	// vote.
	omissionBytes = 300
	// workRate and workBurst are a stream's units of work, per second and at once. One
	// takes 10 us: a request, or every 50 names that its stream is subscribed to. At this
	// rate a stream takes 2 % of a core; more has to wait.
	workRate     = 2000
	workBurst    = 20_000
	namesPerWork = 50
	// sendTimeout is how long a sidecar may take to read a response.
	sendTimeout = 30 * time.Second
)

// The names of limits, in metrics and logs.
const (
	limitMessage   = "message_bytes"
	limitName      = "name_bytes"
	limitNames     = "names_per_stream"
	limitPod       = "streams_per_pod"
	limitRate      = "streams_per_minute"
	limitNamespace = "streams_per_namespace"
	limitStreams   = "streams"
	limitBytes     = "namespace_bytes"
	limitAllBytes  = "bytes"
	limitPending   = "pending_responses"
	limitSend      = "send_timeout"

	limitConnectionsPerSource = "connections_per_source"
	limitConnections          = "connections"
	limitConnectionRate       = "connections_per_second"
	limitRejectedStreams      = "rejected_streams"
)

// limitError closes a stream that exceeds a limit.
type limitError struct {
	limit  string
	status *status.Status
}

func exceeds(limit, format string, args ...any) error {
	return limitError{limit, status.Newf(codes.ResourceExhausted, format, args...)}
}

func (e limitError) Error() string              { return e.limit + ": " + e.status.Message() }
func (e limitError) GRPCStatus() *status.Status { return e.status }

// usage is what the streams of a namespace use.
type usage struct {
	streams, bytes int
	held           map[*view]int // the streams of each view that omits objects, or is for some pods
}

// add registers a stream. The oldest stream of its pod is closed if there would be
// too many; too many of a namespace are an error. If there are too many of all
// namespaces, one is closed, which may be this one.
func (s *Server) add(st *stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	pod := st.identity.String()
	if !s.rate(pod).Allow() {
		return exceeds(limitRate, "%s opens more than %d streams a minute", pod, s.limits.StreamsPerMinute)
	}
	of := s.pods[pod]
	u := s.usage(st.identity.Namespace)
	if len(of) >= s.limits.StreamsPerPod {
		of[0].close(exceeds(limitPod, "closed for a newer stream of the same pod: the limit is %d", s.limits.StreamsPerPod))
		of = of[1:]
	} else if u.streams >= s.limits.StreamsPerNamespace {
		return exceeds(limitNamespace, "namespace %s has %d streams, which is the limit", st.identity.Namespace, u.streams)
	}
	u.streams++
	s.streams[st] = true
	s.pods[pod] = append(of[:len(of):len(of)], st)
	if len(s.streams) <= s.limits.Streams {
		return nil
	}
	return s.cut(st, limitStreams, fmt.Sprintf("there are more than %d streams of all namespaces", s.limits.Streams), func(u *usage) int { return u.streams })
}

// rate limits the new streams of a pod.
func (s *Server) rate(pod string) *rate.Limiter {
	if l, ok := s.rates.Get(pod); ok {
		return l.(*rate.Limiter)
	}
	l := rate.NewLimiter(rate.Limit(s.limits.StreamsPerMinute)/60, s.limits.StreamsPerMinute)
	s.rates.Add(pod, l, time.Hour)
	return l
}

// remove is the opposite of add.
func (s *Server) remove(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(st)
}

func (s *Server) forget(st *stream) {
	if !s.streams[st] {
		return
	}
	delete(s.streams, st)
	pod, namespace := st.identity.String(), st.identity.Namespace
	var rest []*stream
	for _, other := range s.pods[pod] {
		if other != st {
			rest = append(rest, other)
		}
	}
	if s.pods[pod] = rest; len(rest) == 0 {
		delete(s.pods, pod)
	}
	u := s.usage(namespace)
	u.bytes -= st.bytes
	s.bytes -= st.bytes
	s.release(u, st)
	if u.streams--; u.streams == 0 {
		delete(s.namespaces, namespace)
	}
}

// Revoke closes the streams of an identity whose token is revoked.
func (s *Server) Revoke(id Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.pods[id.String()] {
		if st.identity == id {
			st.close(rejectStream(codes.Unauthenticated, "the token is revoked", nil))
		}
	}
}

func (s *Server) usage(namespace string) *usage {
	u := s.namespaces[namespace]
	if u == nil {
		u = &usage{held: map[*view]int{}}
		s.namespaces[namespace] = u
	}
	return u
}

// hold charges the view of a stream to its namespace, once for all streams that have
// it; nil releases it.
func (s *Server) hold(st *stream, v *view) error {
	if st.held == v {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.streams[st] {
		return nil // it is closed
	}
	u := s.usage(st.identity.Namespace)
	s.release(u, st)
	if v == nil {
		return nil
	}
	if u.held[v] == 0 {
		if u.bytes+v.bytes > s.limits.NamespaceBytes {
			return exceeds(limitBytes, "what the sidecars of namespace %s reject, and Sidecars that select by labels, take too many different configurations: the limit is %d bytes", st.identity.Namespace, s.limits.NamespaceBytes)
		}
		u.bytes += v.bytes
		s.bytes += v.bytes
	}
	u.held[v]++
	st.held = v
	return nil
}

func (s *Server) release(u *usage, st *stream) {
	v := st.held
	if v == nil {
		return
	}
	st.held = nil
	if u.held[v]--; u.held[v] == 0 {
		delete(u.held, v)
		u.bytes -= v.bytes
		s.bytes -= v.bytes
	}
}

// charge adds memory of a stream to that of its namespace.
func (s *Server) charge(st *stream, bytes int) error {
	if bytes == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.streams[st] {
		return nil // it is closed
	}
	u := s.usage(st.identity.Namespace)
	if bytes > 0 && u.bytes+bytes > s.limits.NamespaceBytes {
		return exceeds(limitBytes, "the subscriptions of namespace %s exceed %d bytes", st.identity.Namespace, s.limits.NamespaceBytes)
	}
	u.bytes += bytes
	s.bytes += bytes
	st.bytes += bytes
	if bytes < 0 || s.bytes <= s.limits.Bytes {
		return nil
	}
	return s.cut(st, limitAllBytes, fmt.Sprintf("the subscriptions of all namespaces exceed %d bytes", s.limits.Bytes), func(u *usage) int { return u.bytes })
}

// checkNames are the limits of a request's names.
func checkNames(all ...[]string) error {
	for _, names := range all {
		for _, name := range names {
			if len(name) > nameBytes {
				return exceeds(limitName, "a resource name has %d bytes: the limit is %d", len(name), nameBytes)
			}
		}
	}
	return nil
}

func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return fmt.Sprintf("%s... (%d bytes)", text[:limit], len(text))
}
