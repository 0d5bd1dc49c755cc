package xds

import (
	"context"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"time"
)

// Garbage is collected, and memory returned, where that costs little: the collector itself
// begins later, and a connection takes more memory while it starts than afterwards. There is
// one such collection in 5 s at most, and 1,000 idle sidecars take 45 thousandths of a core
// with them (BenchmarkReportLoad). While the process is busy, such as with a change of the
// mesh, the collector decides alone.
const (
	trimEvery = 5 * time.Second
	// trimGarbage is the least garbage, and free memory, that is worth a collection, with an
	// eighth of what is in use.
	trimGarbage, trimPart = 8 << 20, 8
	// trimBusy are the bytes that a busy process allocates in trimEvery.
	trimBusy = 100 << 20
)

// heapState is the state of the heap, in bytes.
type heapState struct {
	used      uint64 // after the last collection
	resident  uint64 // now, with garbage and free memory
	allocated uint64 // since the start
}

// trimmed reports whether to collect, after an interval in which so much was allocated.
func (h heapState) trimmed(allocated uint64) bool {
	return allocated < trimBusy && h.resident > h.used+max(trimGarbage, h.used/trimPart)
}

func readHeap() heapState {
	s := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	runtimemetrics.Read(s)
	return heapState{used: s[0].Value.Uint64(), resident: s[1].Value.Uint64() + s[2].Value.Uint64(), allocated: s[3].Value.Uint64()}
}

// trim collects garbage until ctx is done.
func trim(ctx context.Context) {
	every := time.NewTicker(trimEvery)
	defer every.Stop()
	for before := readHeap().allocated; ; {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		h := readHeap()
		if h.trimmed(h.allocated - before) {
			debug.FreeOSMemory()
		}
		before = h.allocated
	}
}
