package xds

import (
	"errors"
	"maps"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
)

// Observer receives the server's events; nil members are skipped. The functions
// are called from the streams and must not block.
type Observer struct {
	// Connected is called when a stream is authenticated, Disconnected when it
	// ends.
	Connected, Disconnected func(Identity)
	// StreamRejected is called when a stream is rejected.
	StreamRejected func(error)
	// Limited is called when a stream is rejected or closed because it exceeds a
	// limit.
	Limited func(id Identity, limit, message string)
	// ConnectionLimited is called when a connection is closed because its source, an
	// address, or the connection itself exceeds a limit.
	ConnectionLimited func(source, limit, message string)
	// Sent is called for every response.
	Sent func(typeURL string, resources, bytes int)
	// Rejected is called when a sidecar rejects a response (NACK).
	Rejected func(Rejection)
	// Reporting is called when a sidecar reports in another mode; "" is none, before it is
	// connected and after.
	Reporting func(from, to envoy.ReportMode)
	// Judged is called with all objects that sidecars reject, when they change.
	Judged func([]egress.Rejection)
	// Failed is called when a view cannot be built; its streams keep the previous
	// one.
	Failed func(namespace string, err error)
}

// Rejection is a response that a sidecar rejected. It keeps its previous
// configuration, and only its next start would show the error.
type Rejection struct {
	Identity  Identity
	Node      string // the sidecar's own node ID
	TypeURL   string
	Resources []string // the response's, sorted
	Reason    string   // Envoy's message
}

// RejectionSummary is one rejection, with the number of sidecars that report it.
type RejectionSummary struct {
	TypeURL   string
	Resources []string
	Reason    string // Envoy's message
	Sidecars  int
	Example   Identity
}

func (o Observer) connected(i Identity) {
	if o.Connected != nil {
		o.Connected(i)
	}
}

func (o Observer) disconnected(i Identity) {
	if o.Disconnected != nil {
		o.Disconnected(i)
	}
}

func (o Observer) streamRejected(err error) error {
	if o.StreamRejected != nil {
		o.StreamRejected(err)
	}
	return err
}

// limited passes the error of a stream on.
func (o Observer) limited(id Identity, err error) error {
	var over limitError
	if errors.As(err, &over) && o.Limited != nil {
		o.Limited(id, over.limit, over.status.Message())
	}
	return err
}

func (o Observer) connectionLimited(source, limit, message string) {
	if o.ConnectionLimited != nil {
		o.ConnectionLimited(source, limit, message)
	}
}

func (o Observer) sent(typeURL string, resources, bytes int) {
	if o.Sent != nil {
		o.Sent(typeURL, resources, bytes)
	}
}

func (o Observer) rejected(r Rejection) {
	if o.Rejected != nil {
		o.Rejected(r)
	}
}

func (o Observer) reporting(from, to envoy.ReportMode) {
	if o.Reporting != nil {
		o.Reporting(from, to)
	}
}

func (o Observer) judged(all []egress.Rejection) {
	if o.Judged != nil {
		o.Judged(all)
	}
}

func (o Observer) failed(namespace string, err error) {
	if o.Failed != nil {
		o.Failed(namespace, err)
	}
}

// StreamStatus is one connected sidecar.
type StreamStatus struct {
	Identity   Identity
	Node       string // the sidecar's own node ID
	Since      time.Time
	Generation uint64 // the last one that the stream was updated to
	// Sent has the version of every resource that was sent, by type and name; an
	// empty version is a resource sent as removed.
	Sent map[string]map[string]string
	// Pending is the number of unacknowledged responses.
	Pending int
	// Rejected has the last rejection (NACK) by type that was not followed by an
	// ACK.
	Rejected map[string]Rejection
	// Omitted are the objects that the sidecar rejected and does not get, with Envoy's
	// reason.
	Omitted map[string]string
}

func (st *stream) status() StreamStatus {
	st.mu.Lock()
	defer st.mu.Unlock()
	out := StreamStatus{
		Identity: st.identity, Node: st.node, Since: st.since,
		Sent: map[string]map[string]string{}, Rejected: map[string]Rejection{}, Omitted: map[string]string{},
	}
	if st.generation != nil {
		out.Generation = st.generation.number
	}
	for o, reason := range st.excluded {
		out.Omitted[o.Source()] = reason
	}
	for typeURL, s := range st.types {
		out.Sent[typeURL] = maps.Clone(s.sent)
		out.Pending += len(s.pending)
		if s.rejected != nil {
			out.Rejected[typeURL] = *s.rejected
		}
	}
	if r := &st.reporting; r.version != "" {
		out.Sent[envoy.TypeRuntime] = map[string]string{egress.RuntimeName: r.version}
		if r.rejected != nil {
			out.Rejected[envoy.TypeRuntime] = *r.rejected
		}
	}
	return out
}
