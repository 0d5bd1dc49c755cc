package xds

import (
	"cmp"
	"slices"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/outrider-mesh/outrider/egress/envoy"
)

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
	s.progress = time.Now()
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
