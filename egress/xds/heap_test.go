package xds

import (
	"context"
	"runtime"
	"testing"
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
