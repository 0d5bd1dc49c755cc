package xds

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/outrider-mesh/outrider/egress"
)

// verdicts are what the sidecars say about objects. What a sidecar rejects is omitted
// from its own configuration and from no other's; here it is only decided what is shown
// to the objects' authors, and what a new sidecar gets last. A sidecar may lie:
// docs/decisions/0008.
type verdicts struct {
	mu      sync.Mutex
	votes   map[egress.Object]map[string]vote // by object and identity
	objects map[string]map[egress.Object]bool // that the sidecars of a namespace have rejected
	settled map[string]settled                // the sidecars that accepted all they were sent, by identity
	judged  []egress.Rejection                // sorted
	pending bool                              // a judgment
	// changed is called with each new judgment.
	changed func([]egress.Rejection)
}

// vote is the rejection of an object by a sidecar.
type vote struct {
	namespace, reason string
	generation        uint64
}

// settled is what a sidecar has accepted.
type settled struct {
	namespace  string
	generation uint64
}

// namespaceObjects is how many objects the sidecars of a namespace have votes about. A
// judgment looks at all sidecars for each: 200 objects and 3,000 sidecars take some
// 20 ms. Of more, sidecars omit what they reject, too; only the status is silent.
const namespaceObjects = 200

// counts reports whether the votes of a namespace about an object count.
func (v *verdicts) counts(o egress.Object, namespace string) bool {
	of := v.objects[namespace]
	if !of[o] && len(of) >= namespaceObjects {
		return false
	}
	if of == nil {
		of = map[egress.Object]bool{}
		v.objects[namespace] = of
	}
	of[o] = true
	return true
}

// judgeDelay is the time for other sidecars to accept what one has rejected.
const judgeDelay = time.Second

func (v *verdicts) reject(o egress.Object, by Identity, generation uint64, reason string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.counts(o, by.Namespace) {
		return
	}
	if v.votes[o] == nil {
		v.votes[o] = map[string]vote{}
	}
	v.votes[o][by.String()] = vote{by.Namespace, reason, generation}
	v.judgeSoon()
}

// accept is called when a sidecar has accepted a generation without some objects.
func (v *verdicts) accept(by Identity, generation uint64, without map[egress.Object]string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	id := by.String()
	if v.settled[id].generation == generation {
		return
	}
	v.settled[id] = settled{by.Namespace, generation}
	for o, votes := range v.votes {
		if _, out := without[o]; !out {
			delete(votes, id)
		}
	}
	if len(v.votes) > 0 {
		v.judgeSoon()
	}
}

// left is called when a sidecar's stream ends. The last vote of a namespace about an
// object stays until the object changes: the next sidecar may be the same.
func (v *verdicts) left(by Identity) {
	v.mu.Lock()
	defer v.mu.Unlock()
	id := by.String()
	delete(v.settled, id)
	for _, votes := range v.votes {
		for other, vote := range votes {
			if other != id && vote.namespace == by.Namespace {
				delete(votes, id)
				break
			}
		}
	}
}

// keep forgets the objects that are not in a model.
func (v *verdicts) keep(objects map[egress.Object]bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for namespace, of := range v.objects {
		if maps.DeleteFunc(of, func(o egress.Object, _ bool) bool { return !objects[o] }); len(of) == 0 {
			delete(v.objects, namespace)
		}
	}
	before := len(v.votes)
	maps.DeleteFunc(v.votes, func(o egress.Object, _ map[string]vote) bool { return !objects[o] })
	if len(v.votes) != before {
		v.judgeSoon()
	}
}

// of is what a sidecar has rejected.
func (v *verdicts) of(by Identity) map[egress.Object]string {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := map[egress.Object]string{}
	for o, votes := range v.votes {
		if vote, ok := votes[by.String()]; ok {
			out[o] = vote.reason
		}
	}
	return out
}

// known are the objects that any sidecar has rejected.
func (v *verdicts) known() map[egress.Object]bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := map[egress.Object]bool{}
	for o, votes := range v.votes {
		out[o] = len(votes) > 0
	}
	return out
}

// rejected are the objects that a new sidecar gets last.
func (v *verdicts) rejected() map[egress.Object]bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := map[egress.Object]bool{}
	for _, r := range v.judged {
		if !r.Disputed {
			out[r.Object] = true
		}
	}
	return out
}

func (v *verdicts) judgeSoon() {
	if !v.pending {
		v.pending = true
		time.AfterFunc(judgeDelay, v.judge)
	}
}

func (v *verdicts) judge() {
	v.mu.Lock()
	v.pending = false
	var out []egress.Rejection
	for o, votes := range v.votes {
		if len(votes) > 0 {
			out = append(out, v.judgment(o, votes))
		}
	}
	slices.SortFunc(out, func(a, b egress.Rejection) int {
		return cmp.Or(cmp.Compare(a.Object.Source(), b.Object.Source()), cmp.Compare(a.Object.Meta.Generation, b.Object.Meta.Generation))
	})
	same := slices.EqualFunc(out, v.judged, egress.Rejection.Same)
	v.judged = out
	if same {
		v.mu.Unlock()
		return
	}
	v.mu.Unlock()
	if v.changed != nil {
		v.changed(out)
	}
}

// judgment counts namespaces, of which one that has many sidecars has no more than
// one voice. A rejection is disputed where other namespaces accept the object and only
// one rejects it, which is not the object's own.
func (v *verdicts) judgment(o egress.Object, votes map[string]vote) egress.Rejection {
	balance, since := map[string]int{}, uint64(0)
	r := egress.Rejection{Object: o, Sidecars: len(votes)}
	for _, earlier := range v.judged { // its words stay while any sidecar of the namespace rejects it
		if earlier.Object == o && slices.ContainsFunc(slices.Collect(maps.Values(votes)), func(a vote) bool { return a.namespace == earlier.Namespace }) {
			r.Reason, r.Namespace = earlier.Reason, earlier.Namespace
		}
	}
	for _, id := range slices.Sorted(maps.Keys(votes)) {
		balance[votes[id].namespace]++
		since = max(since, votes[id].generation)
		if r.Namespace == "" {
			r.Reason, r.Namespace = votes[id].reason, votes[id].namespace
		}
	}
	for id, s := range v.settled {
		if _, rejects := votes[id]; rejects || s.generation < since {
			continue
		}
		r.Accepting++
		if _, mixed := balance[s.namespace]; mixed {
			balance[s.namespace]--
		} else {
			balance[s.namespace] = -1
		}
	}
	rejecting, accepting := 0, 0
	for _, n := range balance {
		if n < 0 {
			accepting++
		} else {
			rejecting++
		}
	}
	own, counted := balance[o.Meta.Namespace]
	r.Disputed = accepting > 0 && rejecting < 2 && (!counted || own < 0)
	return r
}

// searches are the searches that run, and how many a namespace may start.
type searches struct {
	mu      sync.Mutex
	running map[resourceKey]map[*stream]bool
	budgets map[string]*rate.Limiter
}

// taken reports whether another sidecar searches for the cause of the same rejection.
func (s *searches) taken(by *stream, key resourceKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.running[key] {
		if st != by {
			return true
		}
	}
	return false
}

func (s *searches) allow(namespace string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.budgets[namespace] == nil {
		s.budgets[namespace] = rate.NewLimiter(rate.Every(searchEvery), searchBurst)
	}
	return s.budgets[namespace].Allow()
}

func (s *searches) start(st *stream, key resourceKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[key] == nil {
		s.running[key] = map[*stream]bool{}
	}
	s.running[key][st] = true
}

func (s *searches) stop(st *stream, key resourceKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.running[key], st); len(s.running[key]) == 0 {
		delete(s.running, key)
	}
}
