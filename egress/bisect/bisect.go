// Package bisect finds the objects for which a sidecar rejects a resource.
//
// A Search asks whether the sidecar accepts the resource as it would be with a part
// of the objects, and gets the answers. It assumes that an object that is added
// never repairs what is rejected without it; the last question of a search is about
// the result, so that a sidecar for which this does not hold gets another round.
//
// It is pure and deterministic: sidecars that answer alike are asked alike, so that
// what they are asked about needs to be made only once.
package bisect

// Search is the search among objects that have an order: an object that is part of
// the resource only because of another comes after it. Where two are rejected only
// together, the later one is found.
type Search struct {
	owners []string // of each object
	limit  int

	out      []bool // what was found
	found    map[string]int
	good     int // this many objects, without those found, are accepted
	bad      int // this many are rejected
	searched bool
	base     bool // it was asked about no objects at all
	first    []int
	done     bool
	fault    Fault
}

// Fault is why a search found nothing.
type Fault uint8

// The reasons.
const (
	None       Fault = iota
	Reproduced       // the sidecar accepts the resource in a trial
	Base             // the sidecar rejects it without any object, too
)

// New starts a search. Each object has an owner: once limit objects of one owner were
// found, all later ones of it are taken as found, so that one owner does not prolong
// the search for others. The objects from suspects on are asked about first.
func New(owners []string, limit, suspects int) *Search {
	s := &Search{owners: owners, limit: limit, out: make([]bool, len(owners)), found: map[string]int{}, bad: len(owners)}
	if suspects > 0 && suspects < len(owners) {
		s.first = []int{suspects}
	}
	return s
}

// Trial is the next question: the objects before the given number, without those that
// were found. There is none once the search is done.
func (s *Search) Trial() (objects int, ok bool) {
	switch {
	case s.done:
		return 0, false
	case !s.searched:
		return len(s.owners), true
	case s.bad-s.good > 1:
		for _, n := range s.first {
			if s.good < n && n < s.bad {
				return n, true
			}
		}
		return s.good + (s.bad-s.good)/2, true
	}
	return 0, true
}

// Answer is whether the sidecar accepted the trial.
func (s *Search) Answer(accepted bool) {
	n, ok := s.Trial()
	switch {
	case !ok:
		return
	case !s.searched: // everything but what was found
		s.searched, s.done = true, accepted
		if accepted && s.Found() == nil {
			s.fault = Reproduced
		}
	case n == 0:
		if s.base = accepted; !accepted {
			s.done, s.fault = true, Base
			return
		}
	case accepted:
		s.good = n
	default:
		s.bad = n
	}
	if len(s.owners) == 0 && !s.done {
		s.done, s.fault = true, Base
	}
	if s.done || s.bad-s.good > 1 || s.good == 0 && !s.base {
		return
	}
	if s.bad <= s.good || s.out[s.bad-1] { // it contradicts itself
		s.done = true
		return
	}
	s.take(s.bad - 1)
}

// take takes an object as found, and starts the next round after it.
func (s *Search) take(i int) {
	owner := s.owners[i]
	s.out[i] = true
	if s.found[owner]++; s.found[owner] >= s.limit {
		for j := i + 1; j < len(s.owners); j++ {
			s.out[j] = s.out[j] || s.owners[j] == owner
		}
	}
	s.good, s.bad, s.searched, s.base = i+1, len(s.owners), false, true
}

// Out reports whether an object was found.
func (s *Search) Out(i int) bool { return s.out[i] }

// Found are the objects that were found, in order.
func (s *Search) Found() (out []int) {
	for i, found := range s.out {
		if found {
			out = append(out, i)
		}
	}
	return out
}

// Fault is why nothing was found.
func (s *Search) Fault() Fault { return s.fault }
