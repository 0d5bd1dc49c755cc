package kit

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// ProgressEvery is the time between two lines of progress.
const ProgressEvery = 10 * time.Second

// Progress writes label with the elapsed time, each ProgressEvery, until the returned
// function is called; after that it writes no more.
func Progress(w io.Writer, label string) (stop func()) {
	start := time.Now()
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		t := time.NewTicker(ProgressEvery)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				_, _ = fmt.Fprintf(w, "%s: %s\n", label, time.Since(start).Round(time.Second))
			}
		}
	})
	return func() { close(done); ended.Wait() }
}
