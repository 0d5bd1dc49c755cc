// Package cache holds what the builders of real servers and programs for the
// tests share: one process at a time fills a directory, and says how it goes.
package cache

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Every is the time between two lines of progress.
const Every = 10 * time.Second

// Tick writes label with the time gone by, every Every, until the returned
// function is called; after that it writes no more.
func Tick(w io.Writer, label string) (stop func()) {
	start := time.Now()
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		t := time.NewTicker(Every)
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
