package xds

import (
	"maps"
	"slices"
	"strconv"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/outrider-mesh/outrider/egress/envoy"
)

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
	if len(s.pending) == 0 {
		s.progress = time.Now()
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
	// The goroutine ends with the stream at the latest; one that waits for the next
	// response would take its stack from each sidecar.
	go func() { st.sent <- st.conn.SendMsg(r) }()
	select {
	case err := <-st.sent:
		return err
	case <-st.closed:
		return st.reason
	case <-timeout.C:
		return exceeds(limitSend, "the client did not read a response for %s", sendTimeout)
	}
}

// sendBase sends a new sidecar the routes without any object, directly before those
// with all: a listener whose first routes are rejected has none, and answers 404.
func (st *stream) sendBase(s *subscription, req *discoveryv3.DeltaDiscoveryRequest) error {
	if !st.fresh || req.TypeUrl != envoy.TypeRoute {
		return nil
	}
	base, err := st.generation.base(st.workload)
	if err != nil {
		return nil // the view with objects was built
	}
	r := &response{typeURL: req.TypeUrl, version: base.of.Version()}
	for _, name := range req.ResourceNamesSubscribe {
		e, err1 := base.get(req.TypeUrl, name)
		full, err2 := st.view.get(req.TypeUrl, name)
		if err1 == nil && err2 == nil && e != nil && full != nil && e.version != full.version && s.sent[name] == "" {
			r.entries = append(r.entries, e)
		}
	}
	if len(r.entries) == 0 {
		return nil
	}
	return st.transmit(s, r)
}
