package xds

import (
	"fmt"
	"time"

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
	// StreamsPerNamespace are the streams of a namespace's pods. 3,000 pods is what
	// Kubernetes supports in a namespace, and a stream takes some 75 KiB.
	StreamsPerNamespace int
	// NamespaceBytes is the memory for the subscriptions of a namespace. 64 MiB are
	// 3,000 sidecars with 150 hosts in use each.
	NamespaceBytes int
}

// The defaults of Limits.
const (
	DefaultMessageBytes        = 256 << 10
	DefaultNamesPerStream      = 10_000
	DefaultStreamsPerPod       = 2
	DefaultStreamsPerNamespace = 3000
	DefaultNamespaceBytes      = 64 << 20
)

func (l Limits) withDefaults() Limits {
	for field, value := range map[*int]int{
		&l.MessageBytes: DefaultMessageBytes, &l.NamesPerStream: DefaultNamesPerStream, &l.StreamsPerPod: DefaultStreamsPerPod,
		&l.StreamsPerNamespace: DefaultStreamsPerNamespace, &l.NamespaceBytes: DefaultNamespaceBytes,
	} {
		if *field <= 0 {
			*field = value
		}
	}
	return l
}

// Limits that no cluster needs to change.
const (
	// nameBytes is the length of a name. The longest of a resource is that of a
	// cluster: outbound|65535||, and a host name of 253 bytes.
	nameBytes = 300
	// nameOverhead is what a name takes beside its bytes: entries of two maps.
	nameOverhead = 100
	// reasonBytes is what is kept of Envoy's reason of a rejection.
	reasonBytes = 4 << 10
	// pendingResponses are the unacknowledged responses of a stream, and pendingNames
	// the resources in them: a sidecar acknowledges each response at once.
	pendingResponses = 1000
	pendingNames     = 50_000
	// sendTimeout is how long a sidecar may take to read a response.
	sendTimeout = 30 * time.Second
)

// The names of limits, in metrics and logs.
const (
	limitMessage   = "message_bytes"
	limitName      = "name_bytes"
	limitNames     = "names_per_stream"
	limitPod       = "streams_per_pod"
	limitNamespace = "streams_per_namespace"
	limitBytes     = "namespace_bytes"
	limitPending   = "pending_responses"
	limitSend      = "send_timeout"
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
type usage struct{ streams, bytes int }

// add registers a stream. The oldest stream of its pod is closed if there would be
// too many; too many of a namespace are an error.
func (s *Server) add(st *stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	pod := st.identity.String()
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
	return nil
}

// remove is the opposite of add.
func (s *Server) remove(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
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
		u = &usage{}
		s.namespaces[namespace] = u
	}
	return u
}

// charge adds the memory of a stream's new names to that of its namespace.
func (s *Server) charge(st *stream, bytes int) error {
	if bytes == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.usage(st.identity.Namespace)
	if bytes > 0 && u.bytes+bytes > s.limits.NamespaceBytes {
		return exceeds(limitBytes, "the subscriptions of namespace %s exceed %d bytes", st.identity.Namespace, s.limits.NamespaceBytes)
	}
	u.bytes += bytes
	st.bytes += bytes
	return nil
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
