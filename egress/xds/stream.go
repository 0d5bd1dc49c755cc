package xds

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/outrider-mesh/outrider/egress"
)

// namesLimit bounds what one stream can make the server remember: ten times the
// 5,000 hosts that a mesh is tried with, each with two ports.
const namesLimit = 100_000

// pendingLimit bounds the responses that a stream may leave unanswered.
const pendingLimit = 1000

// stream is one sidecar. Its loop is the only one that sends and the only one
// that changes its state.
type stream struct {
	server   *Server
	conn     grpc.ServerStream
	identity Identity
	since    time.Time
	nonces   uint64

	mu         sync.Mutex // for status: the loop holds it while it works
	node       string
	generation *generation
	view       *view
	types      map[string]*subscription
}

// subscription is what the sidecar wants and has of one type.
type subscription struct {
	wildcard bool
	names    map[string]bool
	// sent are the versions it has, as far as it was told; "" is missing.
	sent map[string]string
	// pending are the names of responses that were not answered, by nonce.
	pending  map[string][]string
	rejected *Rejection
}

func newStream(s *Server, conn grpc.ServerStream, id Identity) *stream {
	return &stream{server: s, conn: conn, identity: id, since: time.Now(), types: map[string]*subscription{}}
}

// run takes turns between what the sidecar asks and what is published.
func (st *stream) run() error {
	requests, failed := make(chan *discoveryv3.DeltaDiscoveryRequest), make(chan error, 1)
	go st.receive(requests, failed)
	if err := st.adopt(st.server.current.Load()); err != nil {
		return err
	}
	for {
		select {
		case err := <-failed:
			return err
		case r := <-requests:
			if err := st.handle(r); err != nil {
				return err
			}
		case <-st.generation.next:
			if err := st.adopt(st.server.current.Load()); err != nil {
				return err
			}
		}
	}
}

func (st *stream) receive(requests chan<- *discoveryv3.DeltaDiscoveryRequest, failed chan<- error) {
	for {
		r := &discoveryv3.DeltaDiscoveryRequest{}
		if err := st.conn.RecvMsg(r); err != nil {
			failed <- err
			return
		}
		select {
		case requests <- r:
		case <-st.conn.Context().Done():
			return
		}
	}
}

// adopt leads the stream to a generation.
func (st *stream) adopt(g *generation) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.generation = g
	v, err := g.view(st.identity.Namespace)
	if err != nil {
		st.server.observer.failed(st.identity.Namespace, err)
		if st.view == nil {
			return status.Error(codes.Unavailable, "the configuration cannot be made now")
		}
		return nil // what it has stays
	}
	if v == st.view {
		return nil
	}
	st.view = v
	// Additions first, from what is led to towards what leads there; then what
	// nothing leads to any more.
	for _, typeURL := range []string{egress.TypeCluster, egress.TypeListener, egress.TypeRoute} {
		if err := st.send(typeURL, part{removals: typeURL != egress.TypeCluster, updates: true}); err != nil {
			return err
		}
	}
	return st.send(egress.TypeCluster, part{removals: true})
}

// handle takes one request: a subscription, an acceptance, a rejection, or
// several of them at once.
func (st *stream) handle(r *discoveryv3.DeltaDiscoveryRequest) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.node == "" {
		st.node = r.GetNode().GetId()
	}
	switch r.TypeUrl {
	case egress.TypeCluster, egress.TypeListener, egress.TypeRoute:
	default:
		return nil // nothing of that type, ever
	}
	s, first := st.types[r.TypeUrl], false
	if s == nil {
		first = true
		s = &subscription{names: map[string]bool{}, sent: map[string]string{}, pending: map[string][]string{}}
		st.types[r.TypeUrl] = s
		maps.Copy(s.sent, r.InitialResourceVersions)
		s.wildcard = len(r.ResourceNamesSubscribe) == 0
	}
	if r.ResponseNonce != "" {
		st.answered(s, r)
	}
	s.subscribe(r, first)
	if len(s.names)+len(s.sent) > namesLimit {
		return status.Errorf(codes.ResourceExhausted, "a stream may subscribe to %d names", namesLimit)
	}
	return st.send(r.TypeUrl, part{updates: true, removals: true, always: first && s.wildcard})
}

// answered notes an acceptance or a rejection. What was rejected is not sent
// again: it would be rejected again.
func (st *stream) answered(s *subscription, r *discoveryv3.DeltaDiscoveryRequest) {
	names, known := s.pending[r.ResponseNonce]
	if !known {
		return // said twice, or of another stream
	}
	delete(s.pending, r.ResponseNonce)
	if r.ErrorDetail == nil {
		s.rejected = nil
		return
	}
	s.rejected = &Rejection{
		Identity: st.identity, Node: st.node, TypeURL: r.TypeUrl,
		Resources: slices.Sorted(slices.Values(names)), Reason: r.ErrorDetail.GetMessage(),
	}
	st.server.observer.rejected(*s.rejected)
}

func (s *subscription) subscribe(r *discoveryv3.DeltaDiscoveryRequest, first bool) {
	for _, name := range r.ResourceNamesSubscribe {
		if name == "*" {
			s.wildcard = true
			continue
		}
		s.names[name] = true
		if !first {
			delete(s.sent, name) // asked for again means: send it again
		}
	}
	for _, name := range r.ResourceNamesUnsubscribe {
		if name == "*" {
			s.wildcard = false
			continue
		}
		delete(s.names, name)
		delete(s.sent, name)
	}
}

// part says what of a difference goes out.
type part struct {
	updates, removals bool
	always            bool // a response even if there is nothing in it
}

// send sends what the sidecar wants and does not have.
func (st *stream) send(typeURL string, p part) error {
	s := st.types[typeURL]
	if s == nil {
		return nil
	}
	r := &response{typeURL: typeURL, version: st.view.of.Version()}
	var wanted []*entry
	if s.wildcard {
		wanted = slices.Clone(st.view.standing[typeURL])
	}
	have := map[string]bool{}
	for _, e := range wanted {
		have[e.name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		if have[name] {
			continue
		}
		e, err := st.view.get(typeURL, name)
		if err != nil {
			st.server.observer.failed(st.identity.Namespace, err)
			have[name] = true // what it has of it stays
			continue
		}
		if e != nil {
			have[name] = true
			wanted = append(wanted, e)
		} else if version, told := s.sent[name]; p.removals && (!told || version != "") {
			r.removed = append(r.removed, name)
		}
	}
	if p.updates {
		for _, e := range wanted {
			if s.sent[e.name] != e.version {
				r.entries = append(r.entries, e)
			}
		}
	}
	if p.removals && s.wildcard {
		for _, name := range slices.Sorted(maps.Keys(s.sent)) {
			if !have[name] && !s.names[name] {
				r.removed = append(r.removed, name)
			}
		}
	}
	if len(r.entries)+len(r.removed) == 0 && !p.always {
		return nil
	}
	return st.transmit(s, r)
}

func (st *stream) transmit(s *subscription, r *response) error {
	st.nonces++
	r.nonce = strconv.FormatUint(st.nonces, 10)
	var names []string
	bytes := 0
	for _, e := range r.entries {
		s.sent[e.name] = e.version
		names = append(names, e.name)
		bytes += len(e.wire)
	}
	for _, name := range r.removed {
		if s.names[name] {
			s.sent[name] = "" // it stays subscribed, and gets it as soon as there is one
		} else {
			delete(s.sent, name)
		}
	}
	s.pending[r.nonce] = names
	if len(s.pending) > pendingLimit {
		return status.Errorf(codes.ResourceExhausted, "%d responses were not answered", pendingLimit)
	}
	// A sidecar that reads slowly must not hold up those who look at it.
	st.mu.Unlock()
	err := st.conn.SendMsg(r)
	st.mu.Lock()
	if err != nil {
		return err
	}
	st.server.observer.sent(r.typeURL, len(r.entries), bytes)
	return nil
}

func (st *stream) status() StreamStatus {
	st.mu.Lock()
	defer st.mu.Unlock()
	out := StreamStatus{
		Identity: st.identity, Node: st.node, Since: st.since,
		Sent: map[string]map[string]string{}, Rejected: map[string]Rejection{},
	}
	if st.generation != nil {
		out.Generation = st.generation.number
	}
	for typeURL, s := range st.types {
		out.Sent[typeURL] = maps.Clone(s.sent)
		out.Pending += len(s.pending)
		if s.rejected != nil {
			out.Rejected[typeURL] = *s.rejected
		}
	}
	return out
}
