package xds

import (
	"context"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"sync"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/test/kit"
)

func TestHeap_Trimmed(t *testing.T) {
	const mib = 1 << 20
	for name, tt := range map[string]struct {
		h         heapState
		allocated uint64
		want      bool
	}{
		"little garbage":               {heapState{used: 10 * mib, resident: 18 * mib}, 0, false},
		"garbage":                      {heapState{used: 10 * mib, resident: 19 * mib}, 0, true},
		"little garbage of a big heap": {heapState{used: 800 * mib, resident: 900 * mib}, 0, false},
		"garbage of a big heap":        {heapState{used: 800 * mib, resident: 901 * mib}, 0, true},
		"busy":                         {heapState{used: 10 * mib, resident: 1000 * mib}, trimBusy, false},
	} {
		if got := tt.h.trimmed(tt.allocated); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestReadHeap has the values that the runtime names so.
func TestReadHeap(t *testing.T) {
	kept := make([]byte, 64<<20)
	runtime.GC()
	if h := readHeap(); h.used < 64<<20 || h.resident < h.used || h.allocated < h.used {
		t.Errorf("%+v", h)
	}
	runtime.KeepAlive(kept)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	trim(ctx)
}

func TestGarbageFor(t *testing.T) {
	const mb, seconds = 1_000_000, 5
	for name, tt := range map[string]struct {
		allocated uint64
		want      int
	}{
		"nothing":                        {0, 10},
		"1,000 sidecars":                 {2 * mb * seconds, 10},
		"1,000 that begin":               {7 * mb * seconds, 10},
		"in between":                     {12 * mb * seconds, 16},
		"much":                           {18 * mb * seconds, 25},
		"a change of the mesh":           {400 * mb * seconds, 25},
		"a change of the mesh has begun": {400 * mb / 4, 25},
		"most":                           {1<<64 - 1, 25},
	} {
		if got := garbageFor(tt.allocated); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

// TestAdaptGarbage has a process that does little, and then allocates much at once.
func TestAdaptGarbage(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	percent := func() int {
		s := []runtimemetrics.Sample{{Name: "/gc/gogc:percent"}}
		runtimemetrics.Read(s)
		return int(s[0].Value.Uint64())
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { adaptGarbage(ctx, 100*time.Millisecond) })
	defer running.Wait()
	defer stop()
	kit.EventuallyTrue(t, "little is allocated", func() bool { return percent() == leastGarbage })
	kit.EventuallyTrue(t, "much is allocated", func() bool {
		runtime.KeepAlive(make([]byte, 128<<20))
		return percent() == MostGarbage
	})
	kit.EventuallyTrue(t, "little is allocated again", func() bool { return percent() == leastGarbage })
}
