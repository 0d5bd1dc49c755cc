package xds

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/bisect"
	"github.com/outrider-mesh/outrider/egress/envoy"
)

// Limits of searches. A search among 1,000 objects asks some twelve questions, each
// of which takes a view of the model and a round trip.
const (
	// ownerLimit is how many objects of a namespace a search finds one by one.
	ownerLimit = 10
	// trialTimeout is how long a sidecar may take to answer a trial.
	trialTimeout = 5 * time.Second
	// A sidecar waits for the search of another one, which it profits from, this long
	// and this often.
	searchWait  = 100 * time.Millisecond
	searchWaits = 10
	// searchBurst and searchEvery are the searches of a namespace's sidecars: many in a
	// row after a start, and then one in a while.
	searchBurst = 50
	searchEvery = 2 * time.Second
	// objectReason is what is kept of Envoy's reason for an object: its status has it.
	objectReason = 500
)

// resourceKey is a resource of one sidecar.
type resourceKey struct{ typeURL, name string }

// fault is a resource that the sidecar rejected, alone in its response.
type fault struct {
	version, reason string
	waits           int
	settled         bool // no object is the cause, or it cannot be found
}

// search finds the objects for which one resource is rejected. It asks about the
// model of which the resource was rejected, whatever is published meanwhile.
type search struct {
	key        resourceKey
	rejected   string // the version of the resource; during the search, the sidecar may reject a newer one
	generation *generation
	objects    []egress.Object
	before     map[egress.Object]bool // omitted already
	core       *bisect.Search
	nonce      string // of the trial that is not answered yet
	version    string // of that trial
	until      time.Time
	answers    map[string]string // by version of the trial: why it was rejected; empty: accepted
	reasons    map[int]string    // by number of objects
}

// investigate starts a search for a rejected resource, or waits for that of another
// sidecar.
func (st *stream) investigate() error {
	if st.search != nil || st.types[envoy.TypeListener] == nil {
		return nil
	}
	for _, key := range st.faultyKeys() {
		f := st.faulty[key]
		if e, err := st.view.get(key.typeURL, key.name); err != nil || e == nil || e.version != f.version {
			delete(st.faulty, key) // it was replaced
			continue
		}
		if f.settled {
			continue
		}
		if key.typeURL == envoy.TypeCluster {
			if err := st.blameCluster(key, f); err != nil {
				return err
			}
			return st.investigate()
		}
		if f.waits < searchWaits && st.server.searches.taken(st, key) || !st.server.searches.allow(st.identity.Namespace) {
			f.waits++
			st.wake = time.After(searchWait)
			return nil
		}
		return st.startSearch(key)
	}
	return nil
}

func (st *stream) faultyKeys() []resourceKey {
	return slices.SortedFunc(maps.Keys(st.faulty), func(a, b resourceKey) int {
		return cmp.Or(cmp.Compare(a.typeURL, b.typeURL), cmp.Compare(a.name, b.name))
	})
}

// blameCluster finds the object of a cluster: that which declares its host.
func (st *stream) blameCluster(key resourceKey, f *fault) error {
	f.settled = true
	h, ok := envoy.HostOf(st.view.of, key.name)
	if !ok {
		return nil // every sidecar has it, whatever is declared
	}
	delete(st.faulty, key)
	st.omit(egress.HostObject(h), f.reason)
	return st.refresh()
}

func (st *stream) startSearch(key resourceKey) error {
	s := &search{key: key, rejected: st.faulty[key].version, generation: st.generation, before: map[egress.Object]bool{}, answers: map[string]string{}, reasons: map[int]string{}}
	known := st.server.verdicts.known()
	var suspects []egress.Object
	for _, o := range st.generation.model.Objects(st.identity.Namespace) {
		switch {
		case st.excluded[o] != "": // a reason is never empty
		case known[o]:
			suspects = append(suspects, o)
		default:
			s.objects = append(s.objects, o)
		}
	}
	first := len(s.objects)
	s.objects = append(s.objects, suspects...)
	var owners []string
	for _, o := range s.objects {
		owners = append(owners, o.Meta.Namespace)
	}
	for o := range st.excluded {
		s.before[o] = true
	}
	s.core = bisect.New(owners, ownerLimit, first)
	st.search = s
	st.server.searches.start(st, key)
	if st.fresh { // it has nothing to route by
		st.withheld = map[egress.Object]bool{}
		for _, o := range s.objects {
			st.withheld[o] = true
		}
		if err := st.refresh(); err != nil {
			return err
		}
	}
	return st.ask()
}

// ask sends the next trial whose answer is not known.
func (st *stream) ask() error {
	s := st.search
	for {
		n, ok := s.core.Trial()
		if !ok {
			return st.finish()
		}
		out := maps.Clone(s.before)
		for i, o := range s.objects {
			if i >= n || s.core.Out(i) {
				out[o] = true
			}
		}
		e, err := s.generation.trial(st.workload, s.key, out)
		if err != nil {
			st.server.observer.failed(st.identity.Namespace, err)
			return st.finish()
		}
		if e == nil { // there is no such resource without the objects
			s.core.Answer(true)
			continue
		}
		s.version = e.version
		if reason, answered := s.answers[e.version]; answered {
			s.note(n, reason)
			continue
		}
		r := &response{typeURL: envoy.TypeListener, nonce: st.nextNonce(), version: st.view.of.Version(), entries: []*entry{e}}
		s.nonce, s.until = r.nonce, time.Now().Add(trialTimeout)
		st.wake = time.After(trialTimeout)
		return st.deliver(r)
	}
}

// note takes the answer to the trial with a number of objects.
func (s *search) note(n int, reason string) {
	s.answers[s.version] = reason
	if reason != "" {
		s.reasons[n] = reason
	}
	s.core.Answer(reason == "")
}

// answered handles the answer to a trial.
func (st *stream) answered(r *discoveryv3.DeltaDiscoveryRequest) error {
	s := st.search
	s.nonce = ""
	reason := ""
	if r.ErrorDetail != nil {
		reason = cmp.Or(trialReason(r.ErrorDetail.GetMessage()), "no reason")
	}
	n, _ := s.core.Trial()
	s.note(n, reason)
	return st.ask()
}

// trialReason is Envoy's reason without its words about the trial.
func trialReason(message string) string {
	for _, words := range []string{"Error adding/updating listener(s) ", envoy.TrialListener + ": "} {
		message = strings.TrimPrefix(message, words)
	}
	return strings.TrimSpace(message)
}

// finish omits what the search found, and updates the sidecar to what is left.
func (st *stream) finish() error {
	s := st.search
	st.search = nil
	st.server.searches.stop(st, s.key)
	for _, i := range s.core.Found() {
		reason := s.reasons[i+1]
		if reason == "" {
			reason = cmp.Or(s.reasons[len(s.objects)], "Envoy rejects several objects of this namespace")
		}
		st.omit(s.objects[i], reason)
	}
	if f := st.faulty[s.key]; f != nil && f.version == s.rejected {
		if f.settled = s.core.Found() == nil; !f.settled {
			delete(st.faulty, s.key)
		}
	}
	st.withheld, st.fresh = nil, false
	if err := st.deliver(&response{typeURL: envoy.TypeListener, nonce: st.nextNonce(), version: st.view.of.Version(), removed: []string{envoy.TrialListener}}); err != nil {
		return err
	}
	if err := st.refresh(); err != nil {
		return err
	}
	return st.investigate()
}

// woken continues after a pause: a search that waited for another, or a trial that
// the sidecar does not answer.
func (st *stream) woken() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.wake = nil
	switch {
	case st.search == nil:
		return st.investigate()
	case st.search.nonce == "" || time.Now().Before(st.search.until):
		return nil
	}
	return st.finish()
}

// abandon ends the search of a stream that ends.
func (st *stream) abandon() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.search != nil {
		st.server.searches.stop(st, st.search.key)
	}
}

// omit omits an object from this sidecar's configuration, until the object
// changes.
func (st *stream) omit(o egress.Object, reason string) {
	if st.excluded == nil {
		st.excluded = map[egress.Object]string{}
	}
	reason = clip(cmp.Or(reason, "no reason"), objectReason)
	st.excluded[o] = reason
	st.server.verdicts.reject(o, st.identity, st.generation.number, reason)
}

// out are the objects that the sidecar does not get now.
func (st *stream) out() map[egress.Object]bool {
	out := maps.Clone(st.withheld)
	if out == nil {
		out = map[egress.Object]bool{}
	}
	for o := range st.excluded {
		out[o] = true
	}
	return out
}

// settle is called after each answer: once the sidecar has accepted everything, it
// gets what was withheld at its start, and its answers count as its vote.
func (st *stream) settle() error {
	if st.search != nil || st.wake != nil || len(st.faulty) > 0 || st.types[envoy.TypeRoute] == nil {
		return nil
	}
	for _, s := range st.types {
		if len(s.pending) > 0 {
			return nil
		}
	}
	if st.fresh = false; len(st.withheld) > 0 {
		st.withheld = nil
		return st.refresh()
	}
	st.server.verdicts.accept(st.identity, st.generation.number, st.excluded)
	return nil
}
