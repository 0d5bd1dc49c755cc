package webhook

import "sync"

// smallBody is the size up to which the body of a connection needs no other memory
// than the connection: that of an ordinary pod many times over.
const smallBody = 32 << 10

// bodies bounds the memory of bodies larger than smallBody that are being received, or
// wait to be processed. Over the bound one of the source that has the most is cut off: of
// its incomplete ones or of the others, whichever have more together, the largest. So
// many that arrive slowly do not cost those that wait their place, and large ones that
// wait do not cost a smaller one its own while it arrives.
type bodies struct {
	mu      sync.Mutex
	changed sync.Cond // something was cut off, or has ended
	free    int64
	ending  int64 // the memory of those that were cut off and have not ended
	holds   map[*hold]bool
}

// hold is the memory of one body.
type hold struct {
	of       *bodies
	source   string
	bytes    int64
	complete bool
	kept     bool   // it is being processed, and is not cut off
	cut      bool   // it was cut off
	end      func() // cuts it off
}

func newBodies(memory int64) *bodies {
	b := &bodies{free: memory, holds: map[*hold]bool{}}
	b.changed.L = &b.mu
	return b
}

// begin is the hold of a body, without memory. end cuts the body off, soon after.
func (b *bodies) begin(source string, end func()) *hold {
	return &hold{of: b, source: source, end: end}
}

// grow adds bytes; false where there is no memory, or the body was cut off.
func (h *hold) grow(bytes int) bool {
	b := h.of
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.free < int64(bytes) && !h.cut {
		if b.free+b.ending < int64(bytes) && !b.cutOff(h) {
			return false
		}
		if b.free < int64(bytes) {
			b.changed.Wait()
		}
	}
	if h.cut {
		return false
	}
	b.holds[h] = true
	b.free -= int64(bytes)
	h.bytes += int64(bytes)
	return true
}

// cutOff cuts a body off; false where none can be.
func (b *bodies) cutOff(asking *hold) bool {
	victim := b.victim(asking)
	if victim == nil {
		return false
	}
	victim.cut = true
	b.ending += victim.bytes
	victim.end()
	b.changed.Broadcast()
	return true
}

// victim is the body to cut off, of the source that has the most of what may be cut off,
// the one that asks included; nil where that one is the only.
func (b *bodies) victim(asking *hold) *hold {
	top, bySource := asking.source, map[string]int64{asking.source: asking.bytes}
	for h := range b.holds {
		if h.mayBeCut(asking) {
			bySource[h.source] += h.bytes
		}
	}
	for source, bytes := range bySource {
		if bytes > bySource[top] {
			top = source
		}
	}
	var largest [2]*hold // incomplete, complete
	var together [2]int64
	for h := range b.holds {
		if h.source != top || !h.mayBeCut(asking) {
			continue
		}
		of := 0
		if h.complete {
			of = 1
		}
		together[of] += h.bytes
		if largest[of] == nil || h.bytes > largest[of].bytes {
			largest[of] = h
		}
	}
	if together[1] > together[0] {
		return largest[1]
	}
	return largest[0]
}

func (h *hold) mayBeCut(asking *hold) bool { return h != asking && !h.kept && !h.cut }

// completed marks a body that has arrived.
func (h *hold) completed() {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	h.complete = true
}

// keep marks a body that is being processed; false if it was cut off before.
func (h *hold) keep() bool {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	h.kept = true
	return !h.cut
}

// wasCut reports whether the body was cut off.
func (h *hold) wasCut() bool {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	return h.cut
}

// done returns the memory of a body.
func (h *hold) done() {
	b := h.of
	b.mu.Lock()
	defer b.mu.Unlock()
	if h.cut {
		b.ending -= h.bytes
	}
	b.free += h.bytes
	h.bytes, h.cut = 0, true
	delete(b.holds, h)
	b.changed.Broadcast()
}
