package report

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Table has what the workloads of a namespace reach. It is not safe for concurrent
// use.
type Table struct {
	limits    Limits
	workloads map[Workload]*destinations
	beyond    overflow // workloads over the limit
	bytes     int
	allowed   int // bytes of declared destinations
}

// destinations are those of a workload.
type destinations struct {
	of       map[Destination]*Counts
	overflow overflow
	bytes    int
	allowed  int // declared ones, by their number
}

// overflow is what does not fit.
type overflow struct {
	names  Sketch
	counts Counts
	// used is false until something did not fit.
	used bool
}

func (o *overflow) add(name string, c Counts) {
	o.used = true
	o.names.add(name)
	o.counts.add(c)
}

func (o *overflow) merge(other *overflow) {
	if !other.used {
		return
	}
	o.used = true
	o.names.merge(&other.names)
	o.counts.add(other.counts)
}

// NewTable makes an empty table.
func NewTable(l Limits) *Table {
	return &Table{limits: l, workloads: map[Workload]*destinations{}, bytes: overflowBytes}
}

// Empty reports whether there is nothing in the table.
func (t *Table) Empty() bool { return len(t.workloads) == 0 && !t.beyond.used }

// Bytes is an upper bound of the size of the object.
func (t *Table) Bytes() int { return t.bytes }

// Limit changes the size that the table may have. What it has more than that stays until
// there is something new.
func (t *Table) Limit(bytes int) { t.limits.Bytes = bytes }

// Observe adds counts of a destination. It reports whether the table lists the
// destination since then; what exceeds the limits is never listed. Declared destinations
// have at most half of the place, and are not among those that are counted together: these
// would be blocked by REGISTRY_ONLY.
func (t *Table) Observe(w Workload, d Destination, c Counts) (added bool) {
	of := t.workload(w)
	if of == nil {
		if d.Verdict != Allowed {
			t.beyond.add(w.String(), c)
		}
		return false
	}
	if have := of.of[d]; have != nil {
		have.add(c)
		return false
	}
	if d.Verdict == Allowed && (of.allowed >= t.limits.Destinations/2 || t.allowed+sizeOf(d) > t.limits.Bytes/2) {
		return false
	}
	if len(of.of) >= t.limits.Destinations && d.Verdict != Allowed && of.allowed > 0 {
		t.evict(of)
	}
	if len(of.of) >= t.limits.Destinations || !t.reserve(of, sizeOf(d)) {
		if d.Verdict != Allowed {
			of.overflow.add(d.Host, c)
		}
		return false
	}
	if d.Verdict == Allowed {
		of.allowed++
		t.allowed += sizeOf(d)
	}
	kept := c // c itself would be on the heap for each call
	of.of[d] = &kept
	return true
}

// workload is the entry of a workload; nil over the limits.
func (t *Table) workload(w Workload) *destinations {
	if of := t.workloads[w]; of != nil {
		return of
	}
	// What exceeds its limits later is reserved, too.
	of, need := &destinations{}, sizeOfWorkload(w)+overflowBytes
	if len(t.workloads) >= t.limits.Workloads || !t.reserve(of, need) {
		return nil
	}
	of.of = map[Destination]*Counts{}
	t.workloads[w] = of
	return of
}

// reserve takes bytes for a workload. Where the table is full, one that has more than
// this one would have makes place: it is not one workload that fills the object for
// all others.
func (t *Table) reserve(of *destinations, bytes int) bool {
	for t.bytes+bytes > t.limits.Bytes {
		largest := t.largest()
		if largest == nil || largest == of || largest.bytes <= of.bytes+bytes {
			return false
		}
		t.evict(largest)
	}
	of.bytes += bytes
	t.bytes += bytes
	return true
}

// largest is the workload with most bytes, among those with destinations.
func (t *Table) largest() (found *destinations) {
	var name Workload
	for w, of := range t.workloads {
		if len(of.of) == 0 {
			continue
		}
		if found == nil || cmp.Or(cmp.Compare(of.bytes, found.bytes), compareWorkloads(name, w)) > 0 {
			found, name = of, w
		}
	}
	return found
}

// evict removes a destination of a workload: a declared one if there is any, and of these
// the one that was seen first last. Those that it has had for long are its ordinary ones.
func (t *Table) evict(of *destinations) {
	var last Destination
	var counts *Counts
	for d, c := range of.of {
		if counts == nil || cmp.Or(compareDeclared(d, last), c.First.Compare(counts.First), compareDestinations(d, last)) > 0 {
			last, counts = d, c
		}
	}
	if last.Verdict != Allowed {
		of.overflow.add(last.Host, *counts)
	}
	t.remove(of, last)
}

// compareDeclared orders declared destinations after others.
func compareDeclared(a, b Destination) int {
	switch {
	case a.Verdict == Allowed && b.Verdict != Allowed:
		return 1
	case a.Verdict != Allowed && b.Verdict == Allowed:
		return -1
	}
	return 0
}

func (t *Table) remove(of *destinations, d Destination) {
	delete(of.of, d)
	of.bytes -= sizeOf(d)
	t.bytes -= sizeOf(d)
	if d.Verdict == Allowed {
		of.allowed--
		t.allowed -= sizeOf(d)
	}
}

// Merge adds all of another table.
func (t *Table) Merge(o *Table) {
	for _, w := range slices.SortedFunc(maps.Keys(o.workloads), compareWorkloads) {
		from := o.workloads[w]
		for _, d := range slices.SortedFunc(maps.Keys(from.of), compareDestinations) {
			t.Observe(w, d, *from.of[d])
		}
		if !from.overflow.used {
			continue
		}
		if of := t.workload(w); of != nil {
			of.overflow.merge(&from.overflow)
		} else {
			t.beyond.add(w.String(), from.overflow.counts)
		}
	}
	t.beyond.merge(&o.beyond)
}

// Expire removes what was seen before a time for the last time.
func (t *Table) Expire(before time.Time) {
	for w, of := range t.workloads {
		for d, c := range of.of {
			if c.Last.Before(before) {
				t.remove(of, d)
			}
		}
		of.overflow.expire(before)
		if len(of.of) == 0 && !of.overflow.used {
			delete(t.workloads, w)
			t.bytes -= of.bytes
		}
	}
	t.beyond.expire(before)
}

func (o *overflow) expire(before time.Time) {
	if o.used && o.counts.Last.Before(before) {
		*o = overflow{}
	}
}

// Oldest is when the part of the table that is the first to expire was seen.
func (t *Table) Oldest() (oldest time.Time) {
	at := func(last time.Time) {
		if oldest.IsZero() || last.Before(oldest) {
			oldest = last
		}
	}
	for _, of := range t.workloads {
		for _, c := range of.of {
			at(c.Last)
		}
		if of.overflow.used {
			at(of.overflow.counts.Last)
		}
	}
	if t.beyond.used {
		at(t.beyond.counts.Last)
	}
	return oldest
}

// Each calls f for the destinations that are listed.
func (t *Table) Each(f func(Workload, Destination, Counts)) {
	for w, of := range t.workloads {
		for d, c := range of.of {
			f(w, d, *c)
		}
	}
}

// Has reports whether the table lists a destination of a workload.
func (t *Table) Has(w Workload, d Destination) bool {
	of := t.workloads[w]
	return of != nil && of.of[d] != nil
}
