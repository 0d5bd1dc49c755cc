package xds

import (
	"maps"
	"slices"
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
	sent     chan error
	closed   chan struct{} // by close
	closing  sync.Once
	reason   error // of close
	bytes    int   // charged to the namespace; Server.mu
	work     *rate.Limiter
	relabel  chan struct{} // the labels of its pod have changed
	labelled time.Time     // when it was updated for them last
	remode   chan struct{} // its mode of reports has changed

	mu         sync.Mutex // for status and describe; the loop holds it while it works
	node       string
	generation *generation
	workload   egress.Workload // of the view
	view       *view
	types      map[string]*subscription // without the runtime, which no object has a part in
	reporting  reportState

	fresh    bool // it has not accepted a configuration yet, of no earlier stream either
	faulty   map[resourceKey]*fault
	search   *search
	wake     <-chan time.Time         // when to continue a search
	excluded map[egress.Object]string // what this sidecar rejected, with Envoy's reason
	omitted  int                      // how many of them are charged
	held     *view                    // charged to the namespace; Server.mu
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
	pending map[string][]sentResource
	// progress is when the sidecar acknowledged a response last, or was sent the first one
	// that it has not.
	progress time.Time
	rejected *Rejection
}

func newStream(s *Server, conn grpc.ServerStream, id Identity) *stream {
	return &stream{
		server: s, conn: conn, identity: id, since: time.Now(), types: map[string]*subscription{},
		faulty: map[resourceKey]*fault{}, excluded: s.verdicts.of(id),
		work:    rate.NewLimiter(workRate, workBurst),
		relabel: make(chan struct{}, 1), remode: make(chan struct{}, 1), reporting: reportState{mode: s.reports.first(), counts: make(chan struct{})},
		sent: make(chan error, 1), closed: make(chan struct{}),
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
		case <-st.relabel:
			if err := st.relabelled(); err != nil {
				return err
			}
		case <-st.remode:
			if err := st.remoded(); err != nil {
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

// chargeOmissions charges what was omitted since the last call.
func (st *stream) chargeOmissions() error {
	more := len(st.excluded) - st.omitted
	st.omitted += more
	return st.server.charge(st, more*omissionBytes)
}

// refresh updates the sidecar to the generation without what it does not get.
func (st *stream) refresh() error {
	if err := st.chargeOmissions(); err != nil {
		return err
	}
	w, known := st.server.workload(st.identity, st.generation.model)
	switch {
	case !known && st.view == nil:
		return status.Error(codes.Unavailable, "the labels of the pod are not known yet")
	case !known:
		return nil // it keeps the previous view
	}
	v, omits, err := st.generation.view(w, st.out())
	if err != nil {
		st.server.observer.failed(st.identity.Namespace, err)
		if st.view == nil {
			return status.Error(codes.Unavailable, "failed to build configuration")
		}
		return nil // it keeps the previous view
	}
	st.workload = w
	if v == st.view {
		return nil
	}
	held := v
	if _, selects, _ := st.generation.model.SidecarOf(w); !omits && !selects {
		held = nil
	}
	if err := st.server.hold(st, held); err != nil {
		return err
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
	case envoy.TypeRuntime:
		return st.handleRuntime(r)
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
	if err := st.sendBase(s, r); err != nil {
		return err
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
