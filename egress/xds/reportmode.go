package xds

import (
	"cmp"
	"hash/maphash"
	"slices"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
)

// Undeclared destinations are entries of the access log at first: a new host is reported
// within half a second, also that of a short Job. Each worker thread of a sidecar sends them
// on a connection of its own, of 90 KiB in the server: those of 1,000 sidecars with two
// threads take 180 MiB. So a sidecar with many of them is switched to counters: these
// come every 15 seconds over the connection that it has anyway, and the others are closed
// when they are idle.
const (
	// countersAfter are the entries of a stream after which its sidecar counts. A forwarded
	// connection has two, so with 50 connections a second it has them after a second, and a
	// workload with some dozens of hosts has reported each of them by then.
	countersAfter = 100
	// mostCounted are the destinations for which a sidecar has counters, after which there are
	// entries again: a report lists so many of a workload, and estimates the number of the
	// others from their names. Envoy keeps a counter for an hour after its last use, and each
	// of its loggers has twice as many at most.
	mostCounted = egress.MostCounted
	// modeChanges are those of a stream: from entries to counters, and back.
	modeChanges = 2
)

// sidecarReports is what is known of a sidecar whose mode is to be decided.
type sidecarReports struct {
	kind    string // of its workload
	entries uint64 // that it has written
	names   int    // of different undeclared destinations that have counters
}

// modeOf decides how a sidecar reports from now on. What a Job connects to has to arrive
// before it ends, and counts of the last 15 seconds may not.
func modeOf(r sidecarReports, now envoy.ReportMode) envoy.ReportMode {
	switch {
	case now == envoy.ReportNothing:
		return now
	case r.kind == "Job", r.kind == "CronJob", r.names >= mostCounted:
		return envoy.ReportEntries
	case r.entries >= countersAfter:
		return envoy.ReportCounters
	}
	return now
}

// reportState is how the sidecar of a stream reports. The mutex of the stream guards it.
type reportState struct {
	mode       envoy.ReportMode
	counts     chan struct{} // is closed while mode is counters
	subscribed bool
	version    string // that was sent
	nonce      string // of the last response, until it is answered
	rejected   *Rejection
	changes    int
	entries    uint64 // that the sidecar has sent
	arrived    uint64 // of them, those that have arrived at this replica
	distinct   int
	names      []uint32 // hashes of the destinations, sorted: 2 KB at most; nil when there are too many
}

// see notes destinations that have counters.
func (r *reportState) see(seed maphash.Seed, all []undeclaredCounts) {
	for i := range all {
		if r.distinct >= mostCounted {
			break
		}
		hash := uint32(maphash.Comparable(seed, all[i].destination))
		if at, found := slices.BinarySearch(r.names, hash); !found {
			r.names = slices.Insert(r.names, at, hash)
			r.distinct++
		}
	}
	if r.distinct >= mostCounted {
		r.names = nil
	}
}

// reports counts the stream by its mode; end is called after it.
func (st *stream) reports() (end func()) {
	st.server.observer.reporting("", st.reporting.mode)
	return func() {
		st.mu.Lock()
		defer st.mu.Unlock()
		st.reporting.subscribed = false
		st.server.observer.reporting(st.reporting.mode, "")
	}
}

// observe notes what a sidecar has reported, by entries or counters, and changes its mode.
func (st *stream) observe(seed maphash.Seed, kind string, entries uint64, all []undeclaredCounts) {
	st.mu.Lock()
	defer st.mu.Unlock()
	r := &st.reporting
	if !r.subscribed || r.changes >= modeChanges {
		return
	}
	r.entries += min(entries, countersAfter)
	r.see(seed, all)
	st.decide(kind, r.entries)
}

// received notes entries that have arrived here, which are known sooner than what the
// sidecar has sent in all. The result is closed when the sidecar is to send no more.
func (st *stream) received(kind string, entries int) (counts <-chan struct{}) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if r := &st.reporting; r.subscribed && r.changes < modeChanges {
		r.arrived += uint64(entries)
		st.decide(kind, r.arrived)
	}
	return st.reporting.counts
}

func (st *stream) decide(kind string, entries uint64) {
	r := &st.reporting
	next := modeOf(sidecarReports{kind, entries, r.distinct}, r.mode)
	if next == r.mode {
		return
	}
	r.changes++
	st.setMode(next)
	select {
	case st.remode <- struct{}{}:
	default:
	}
}

// setMode changes the mode to another one.
func (st *stream) setMode(to envoy.ReportMode) {
	from := st.reporting.mode
	st.reporting.mode = to
	if to == envoy.ReportCounters {
		close(st.reporting.counts)
	} else {
		st.reporting.counts = make(chan struct{})
	}
	st.server.observer.reporting(from, to)
}

// remoded sends a mode that has changed.
func (st *stream) remoded() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.reporting.version == string(st.reporting.mode) {
		return nil
	}
	return st.sendMode()
}

// handleRuntime handles a request for the layer of the runtime. It is answered at once: Envoy
// waits for it before it asks for clusters. Other names are ignored.
func (st *stream) handleRuntime(req *discoveryv3.DeltaDiscoveryRequest) error {
	r := &st.reporting
	if req.ResponseNonce != "" && req.ResponseNonce == r.nonce {
		st.modeAnswered(req)
	}
	if !slices.Contains(req.ResourceNamesSubscribe, egress.RuntimeName) {
		return nil
	}
	r.subscribed = true
	has := req.InitialResourceVersions[egress.RuntimeName]
	if has == string(envoy.ReportCounters) && r.mode == envoy.ReportEntries {
		st.setMode(envoy.ReportCounters) // since an earlier stream, of another replica or process
	}
	if r.version = has; has == string(r.mode) {
		return nil
	}
	return st.sendMode()
}

// modeAnswered handles an ACK or a NACK. After a NACK the sidecar keeps the mode that it
// has, and is sent no other one.
func (st *stream) modeAnswered(req *discoveryv3.DeltaDiscoveryRequest) {
	r := &st.reporting
	r.nonce = ""
	if req.ErrorDetail == nil {
		r.rejected = nil
		return
	}
	r.changes = modeChanges
	if r.mode == envoy.ReportCounters {
		st.setMode(envoy.ReportEntries)
	}
	r.rejected = &Rejection{
		Identity: st.identity, Node: st.node, TypeURL: envoy.TypeRuntime, Resources: []string{egress.RuntimeName},
		Reason: cmp.Or(req.ErrorDetail.GetMessage(), "no reason"),
	}
	st.server.observer.rejected(*r.rejected)
}

func (st *stream) sendMode() error {
	r := &st.reporting
	e, err := runtimeOf(r.mode)
	if err != nil {
		st.server.observer.failed(st.identity.Namespace, err)
		return nil
	}
	r.version, r.nonce = e.version, st.nextNonce()
	if err := st.deliver(&response{typeURL: envoy.TypeRuntime, nonce: r.nonce, version: e.version, entries: []*entry{e}}); err != nil {
		return err
	}
	st.server.observer.sent(envoy.TypeRuntime, 1, len(e.wire))
	return nil
}

func runtimeOf(mode envoy.ReportMode) (*entry, error) {
	r, err := envoy.Runtime(mode)
	if err != nil {
		return nil, err
	}
	return newEntry(r)
}
