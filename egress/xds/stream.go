package xds

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
)

// stream is one sidecar. Only its loop sends, and only its loop changes its
// state.
type stream struct {
	server   *Server
	conn     grpc.ServerStream
	identity Identity
	since    time.Time
	nonces   uint64
	outgoing chan *response // to the goroutine that sends
	sent     chan error
	closed   chan struct{} // by close
	closing  sync.Once
	reason   error // of close
	bytes    int   // charged to the namespace; Server.mu
	work     *rate.Limiter

	mu         sync.Mutex // for status and describe; the loop holds it while it works
	node       string
	generation *generation
	view       *view
	types      map[string]*subscription

	fresh    bool // it has not accepted a configuration yet, of no earlier stream either
	faulty   map[resourceKey]*fault
	search   *search
	wake     <-chan time.Time         // when to continue a search
	excluded map[egress.Object]string // what this sidecar rejected, with Envoy's reason
	withheld map[egress.Object]bool   // until it has accepted the rest
}

// sentResource is one in a response. It does not keep the resource: a sidecar that
// acknowledges nothing would keep those of every generation.
type sentResource struct{ name, version string }

// subscription is what the sidecar has subscribed to and been sent of one type.
type subscription struct {
	wildcard bool
	names    map[string]bool
	// sent are the versions that were sent; "" is a resource sent as removed.
	sent map[string]string
	// pending are the resources of unacknowledged responses, by nonce.
	pending  map[string][]sentResource
	rejected *Rejection
}

func newStream(s *Server, conn grpc.ServerStream, id Identity) *stream {
	return &stream{
		server: s, conn: conn, identity: id, since: time.Now(), types: map[string]*subscription{},
		faulty: map[resourceKey]*fault{}, excluded: s.verdicts.of(id),
		work:     rate.NewLimiter(workRate, workBurst),
		outgoing: make(chan *response), sent: make(chan error, 1), closed: make(chan struct{}),
	}
}

// close ends the stream with an error; of several calls the first counts.
func (st *stream) close(reason error) {
	st.closing.Do(func() { st.reason = reason; close(st.closed) })
}

// ending reports whether close was called.
func (st *stream) ending() bool {
	select {
	case <-st.closed:
		return true
	default:
		return false
	}
}

// run handles requests and published generations, one at a time.
func (st *stream) run() error {
	requests, failed := make(chan *discoveryv3.DeltaDiscoveryRequest), make(chan error, 1)
	go st.receive(requests, failed)
	go st.sender()
	if err := st.update(st.server.current.Load()); err != nil {
		return err
	}
	for {
		select {
		case err := <-failed:
			if status.Code(err) == codes.ResourceExhausted {
				return exceeds(limitMessage, "a request exceeds %d bytes", st.server.limits.MessageBytes)
			}
			return err
		case <-st.closed:
			return st.reason
		case r := <-requests:
			if err := st.pace(); err != nil {
				return err
			}
			if err := st.handle(r); err != nil {
				return err
			}
		case <-st.wake:
			if err := st.woken(); err != nil {
				return err
			}
		case <-st.generation.next:
			if err := st.update(st.server.current.Load()); err != nil {
				return err
			}
		}
	}
}

// pace delays requests that make more work than a stream may.
func (st *stream) pace() error {
	st.mu.Lock()
	units := min(1+st.names()/namesPerWork, workBurst)
	st.mu.Unlock()
	wait := time.NewTimer(st.work.ReserveN(time.Now(), units).Delay())
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-st.closed:
		return st.reason
	case <-st.conn.Context().Done():
		return st.conn.Context().Err()
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
			failed <- st.conn.Context().Err() // or run would wait until the next generation
			return
		}
	}
}

// sender sends one response at a time. The loop waits for it no longer than
// sendTimeout.
func (st *stream) sender() {
	for {
		select {
		case r := <-st.outgoing:
			st.sent <- st.conn.SendMsg(r)
		case <-st.conn.Context().Done():
			return
		}
	}
}

// update moves the stream to a generation.
func (st *stream) update(g *generation) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.generation = g
	objects := g.objects()
	maps.DeleteFunc(st.excluded, func(o egress.Object, _ string) bool { return !objects[o] })
	if err := st.refresh(); err != nil {
		return err
	}
	return st.settle()
}

// refresh updates the sidecar to the generation without what it does not get.
func (st *stream) refresh() error {
	v, err := st.generation.view(st.identity.Namespace, st.out())
	if err != nil {
		st.server.observer.failed(st.identity.Namespace, err)
		if st.view == nil {
			return status.Error(codes.Unavailable, "failed to build configuration")
		}
		return nil // it keeps the previous view
	}
	if v == st.view {
		return nil
	}
	st.view = v
	for _, step := range st.steps() {
		if err := st.send(step.typeURL, step.selection); err != nil {
			return err
		}
	}
	return nil
}

// step is one response of an update.
type step struct {
	typeURL   string
	selection selection
}

// steps make before they break: first clusters, then what refers to them; then the
// removal of clusters that nothing refers to any more. outboundTrafficPolicy is
// alone in its response, which no object can make a sidecar reject. It forbids after
// the routes do, so that requests are answered as the routes say.
func (st *stream) steps() []step {
	policy := step{envoy.TypeCluster, selection{updates: true, only: egress.PassthroughCluster}}
	out := []step{
		{envoy.TypeCluster, selection{updates: true, except: egress.PassthroughCluster}},
		{envoy.TypeListener, selection{updates: true, removals: true}},
		{envoy.TypeRoute, selection{updates: true, removals: true}},
	}
	if st.view.of.Mesh().RegistryOnly {
		out = append(out, policy)
	} else {
		out = append([]step{policy}, out...)
	}
	return append(out, step{envoy.TypeCluster, selection{removals: true}})
}

// handle handles one request: a subscription, an ACK, a NACK, or several of them
// at once.
func (st *stream) handle(r *discoveryv3.DeltaDiscoveryRequest) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.node == "" {
		st.node = r.GetNode().GetId()
	}
	switch r.TypeUrl {
	case envoy.TypeCluster, envoy.TypeListener, envoy.TypeRoute:
	default:
		return nil // a type that is never served
	}
	if err := checkNames(r.ResourceNamesSubscribe, slices.Collect(maps.Keys(r.InitialResourceVersions))); err != nil {
		return err
	}
	if len(st.types) == 0 {
		if err := st.begin(len(r.InitialResourceVersions) == 0); err != nil {
			return err
		}
	}
	s, first := st.types[r.TypeUrl], false
	if s == nil {
		first = true
		s = &subscription{names: map[string]bool{}, sent: map[string]string{}, pending: map[string][]sentResource{}}
		st.types[r.TypeUrl] = s
		if err := st.server.charge(st, st.resume(s, r)); err != nil {
			return err
		}
		s.wildcard = len(r.ResourceNamesSubscribe) == 0
	}
	if r.ResponseNonce != "" {
		if err := st.acknowledge(s, r); err != nil {
			return err
		}
	}
	if err := st.server.charge(st, st.subscribe(s, r, first)); err != nil {
		return err
	}
	if n := st.names(); n > st.server.limits.NamesPerStream {
		return exceeds(limitNames, "the stream has subscribed to %d names: the limit is %d", n, st.server.limits.NamesPerStream)
	}
	if err := st.send(r.TypeUrl, selection{updates: true, removals: true, always: first && s.wildcard}); err != nil {
		return err
	}
	if err := st.investigate(); err != nil {
		return err
	}
	return st.settle()
}

// begin handles the first request. A sidecar without a configuration first gets what
// others have accepted, so that it has something to route by.
func (st *stream) begin(fresh bool) error {
	if st.fresh = fresh; !fresh {
		return nil
	}
	if st.withheld = st.server.verdicts.rejected(); len(st.withheld) == 0 {
		return nil
	}
	return st.refresh()
}

// acknowledge handles an ACK or a NACK. Of several resources that are rejected
// together, halves are sent again until the one that is at fault is alone; that one
// is not sent again.
func (st *stream) acknowledge(s *subscription, r *discoveryv3.DeltaDiscoveryRequest) error {
	if st.search != nil && r.TypeUrl == envoy.TypeListener && r.ResponseNonce == st.search.nonce {
		return st.answered(r)
	}
	entries, pending := s.pending[r.ResponseNonce]
	if !pending {
		return nil // repeated, or the nonce of another stream
	}
	delete(s.pending, r.ResponseNonce)
	_ = st.server.charge(st, -pendingBytes(len(entries))) // less is no error
	if r.ErrorDetail == nil {
		for _, e := range entries {
			delete(st.faulty, resourceKey{r.TypeUrl, e.name})
		}
		if !st.hasFaulty(r.TypeUrl) {
			s.rejected = nil
		}
		return nil
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.name)
	}
	reason := cmp.Or(r.ErrorDetail.GetMessage(), "no reason")
	s.rejected = &Rejection{
		Identity: st.identity, Node: st.node, TypeURL: r.TypeUrl, Resources: slices.Sorted(slices.Values(names)), Reason: reason,
	}
	if len(entries) > 1 {
		return st.halve(r.TypeUrl, s, entries)
	}
	st.server.observer.rejected(*s.rejected)
	for _, e := range entries {
		if s.sent[e.name] == e.version { // no newer one is on its way
			st.faulty[resourceKey{r.TypeUrl, e.name}] = &fault{version: e.version, reason: reason}
		}
	}
	return nil
}

func (st *stream) hasFaulty(typeURL string) bool {
	for key := range st.faulty {
		if key.typeURL == typeURL {
			return true
		}
	}
	return false
}

// halve sends resources again in two responses, unless newer ones were sent.
func (st *stream) halve(typeURL string, s *subscription, all []sentResource) error {
	half := len(all) / 2
	for _, part := range [][]sentResource{all[:half], all[half:]} {
		r := &response{typeURL: typeURL, version: st.view.of.Version()}
		for _, x := range part {
			if e, err := st.view.get(typeURL, x.name); err == nil && e != nil && e.version == x.version && s.sent[x.name] == x.version {
				r.entries = append(r.entries, e)
			}
		}
		if len(r.entries) > 0 {
			if err := st.transmit(s, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// pendingBytes is the memory of an unacknowledged response.
func pendingBytes(names int) int { return pendingOverhead + pendingName*names }

// resume takes the versions that the sidecar has of an earlier stream, and returns
// their memory. Only whether they are current is kept.
func (st *stream) resume(s *subscription, r *discoveryv3.DeltaDiscoveryRequest) (bytes int) {
	for name, version := range r.InitialResourceVersions {
		if e, err := st.view.get(r.TypeUrl, name); err == nil && e != nil && e.version == version {
			s.sent[e.name] = e.version
		} else {
			s.sent[name] = staleVersion
			bytes += len(name) + nameOverhead
		}
	}
	return bytes
}

// staleVersion is the version of no resource.
const staleVersion = "?"

// subscribe changes the subscription, and returns the memory that its names take
// more. A name is kept as the resource has it, which the streams share.
func (st *stream) subscribe(s *subscription, r *discoveryv3.DeltaDiscoveryRequest, first bool) (bytes int) {
	for _, name := range r.ResourceNamesSubscribe {
		if name == "*" {
			s.wildcard = true
			continue
		}
		if !s.names[name] {
			bytes += len(name) + nameOverhead
			if e, err := st.view.get(r.TypeUrl, name); err == nil && e != nil {
				name = e.name
			}
		}
		s.names[name] = true
		if !first {
			delete(s.sent, name) // subscribed again means: send it again
		}
	}
	for _, name := range r.ResourceNamesUnsubscribe {
		if name == "*" {
			s.wildcard = false
			continue
		}
		if s.names[name] {
			bytes -= len(name) + nameOverhead
		}
		delete(s.names, name)
		delete(s.sent, name)
	}
	return bytes
}

// names counts the names of all types.
func (st *stream) names() (n int) {
	for _, s := range st.types {
		n += len(s.names)
	}
	return n
}

// selection is what to send of the difference between two states.
type selection struct {
	updates, removals bool
	always            bool   // send a response even if it is empty
	only, except      string // of the updates, by name; empty: all
}

func (s selection) has(name string) bool {
	return (s.only == "" || s.only == name) && (s.except == "" || s.except != name)
}

// send sends the resources that the sidecar has subscribed to and does not have.
func (st *stream) send(typeURL string, sel selection) error {
	s := st.types[typeURL]
	if s == nil {
		return nil
	}
	r := &response{typeURL: typeURL, version: st.view.of.Version()}
	var wanted []*entry
	if s.wildcard {
		wanted = slices.Clone(st.view.wildcard[typeURL])
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
			have[name] = true // it keeps the version that it has
			continue
		}
		if e != nil {
			have[name] = true
			wanted = append(wanted, e)
		} else if version, sent := s.sent[name]; sel.removals && (!sent || version != "") {
			r.removed = append(r.removed, name)
		}
	}
	if sel.updates {
		for _, e := range wanted {
			if s.sent[e.name] != e.version && sel.has(e.name) {
				r.entries = append(r.entries, e)
			}
		}
	}
	if sel.removals && s.wildcard {
		for _, name := range slices.Sorted(maps.Keys(s.sent)) {
			if !have[name] && !s.names[name] {
				r.removed = append(r.removed, name)
			}
		}
	}
	if len(r.entries)+len(r.removed) == 0 && !sel.always {
		return nil
	}
	return st.transmit(s, r)
}

func (st *stream) nextNonce() string {
	st.nonces++
	return strconv.FormatUint(st.nonces, 10)
}

func (st *stream) transmit(s *subscription, r *response) error {
	r.nonce = st.nextNonce()
	bytes, resources := 0, make([]sentResource, 0, len(r.entries))
	for _, e := range r.entries {
		s.sent[e.name] = e.version
		resources = append(resources, sentResource{e.name, e.version})
		bytes += len(e.wire)
	}
	for _, name := range r.removed {
		if s.names[name] {
			s.sent[name] = "" // still subscribed: it is sent as soon as it exists
		} else {
			delete(s.sent, name)
		}
	}
	s.pending[r.nonce] = resources
	unacknowledged := 0
	for _, entries := range s.pending {
		unacknowledged += len(entries)
	}
	if len(s.pending) > pendingResponses || len(s.pending) > 1 && unacknowledged > pendingNames {
		return exceeds(limitPending, "%d responses with %d resources are not acknowledged", len(s.pending), unacknowledged)
	}
	if err := st.server.charge(st, pendingBytes(len(r.entries))); err != nil {
		return err
	}
	if err := st.deliver(r); err != nil {
		return err
	}
	st.server.observer.sent(r.typeURL, len(r.entries), bytes)
	return nil
}

// deliver sends a response. A sidecar that reads slowly must not block status and
// describe, and one that does not read must not keep its stream.
func (st *stream) deliver(r *response) error {
	st.mu.Unlock()
	defer st.mu.Lock()
	timeout := time.NewTimer(sendTimeout)
	defer timeout.Stop()
	select {
	case st.outgoing <- r:
	case <-st.conn.Context().Done():
		return st.conn.Context().Err()
	}
	select {
	case err := <-st.sent:
		return err
	case <-st.closed:
		return st.reason
	case <-timeout.C:
		return exceeds(limitSend, "the client did not read a response for %s", sendTimeout)
	}
}

func (st *stream) status() StreamStatus {
	st.mu.Lock()
	defer st.mu.Unlock()
	out := StreamStatus{
		Identity: st.identity, Node: st.node, Since: st.since,
		Sent: map[string]map[string]string{}, Rejected: map[string]Rejection{}, LeftOut: map[string]string{},
	}
	if st.generation != nil {
		out.Generation = st.generation.number
	}
	for o, reason := range st.excluded {
		out.LeftOut[o.Source()] = reason
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
