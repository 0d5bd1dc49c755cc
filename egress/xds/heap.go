package xds

import (
	"context"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Garbage is collected, and memory returned, where that costs little: the collector itself
// begins later, and a connection takes more memory while it starts than afterwards. There is
// one such collection in 5 s at most, and 1,000 idle sidecars take 50 thousandths of a core
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
	s := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: allocatedBytes}}
	runtimemetrics.Read(s)
	return heapState{used: s[0].Value.Uint64(), resident: s[1].Value.Uint64() + s[2].Value.Uint64(), allocated: s[3].Value.Uint64()}
}

const allocatedBytes = "/gc/heap/allocs:bytes"

// trim collects garbage until ctx is done.
func trim(ctx context.Context) {
	before := readHeap().allocated
	wait.UntilWithContext(ctx, func(context.Context) {
		h := readHeap()
		if h.trimmed(h.allocated - before) {
			debug.FreeOSMemory()
		}
		before = h.allocated
	}, trimEvery)
}

// GOGC of a process that is a control plane alone: the heap, with stacks, grows by so many
// percent of what is in use until garbage is collected. In use are mostly connections, and
// most of the time little garbage is made: memory is worth more than the processor time of
// more collections.
//
// A collection takes 0.6 ns for each byte in use. With R bytes a second that are allocated,
// and a percentage P, there are R/(use x P/100) collections a second, so they take
// R x 0.06 us/P of a core, whatever is in use. At leastGarbage that is 4 % of a core where
// 7 MB/s are allocated, which is what 1,000 sidecars take that begin to report within a
// minute. Where R is more, P is, too, so that it stays 4 %, up to MostGarbage at 18 MB/s. A
// change of the mesh with 10,000 sidecars allocates hundreds.
const (
	leastGarbage = 10
	// MostGarbage is GOGC until a Listener adapts it.
	MostGarbage = 25
	// garbageRate are the bytes a second for which P is 1.
	garbageRate = 700 << 10
	// garbageTime is that in which R is measured, in parts: MostGarbage is set as soon as
	// 85 MiB are allocated, and for as long.
	garbageTime, garbageParts = 5 * time.Second, 20
)

// garbageFor is P where so many bytes were allocated in garbageTime.
func garbageFor(allocated uint64) int {
	perSecond := allocated / uint64(garbageTime/time.Second)
	return int(max(leastGarbage, min(perSecond/garbageRate, MostGarbage)))
}

// adaptGarbage sets GOGC until ctx is done, by what was allocated in a time.
func adaptGarbage(ctx context.Context, in time.Duration) {
	sample := []runtimemetrics.Sample{{Name: allocatedBytes}}
	var totals [garbageParts]uint64 // of which the next one is the oldest
	next, now := 0, MostGarbage
	wait.UntilWithContext(ctx, func(context.Context) {
		runtimemetrics.Read(sample)
		total := sample[0].Value.Uint64()
		if p := garbageFor(total - totals[next]); p != now {
			now = p
			debug.SetGCPercent(p)
		}
		totals[next], next = total, (next+1)%garbageParts
	}, in/garbageParts)
}
