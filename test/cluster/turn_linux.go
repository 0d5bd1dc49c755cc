package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// atOnce is how many tests have clusters at the same time. Two clusters share nothing but
// the machine; most of a test's time is waiting, but more of them would starve each other on
// a small machine.
const atOnce = 2

// turn waits until no other test has the clusters of the name, and fewer than atOnce tests
// have any; others wait until unlock is called or the process ends. It makes the lock files
// in the directory.
func turn(ctx context.Context, dir, name string) (unlock func(), err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("wait for other tests with clusters: %w", err)
		}
	}()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	// The name first: a test that has a place does not wait for anything.
	named, err := lock(ctx, filepath.Join(dir, name+".test.lock"), true)
	if err != nil {
		return nil, err
	}
	place, err := takePlace(ctx, dir)
	if err != nil {
		_ = named.Close()
		return nil, err
	}
	return func() { _, _ = place.Close(), named.Close() }, nil
}

// takePlace waits for one of the places of tests with clusters.
func takePlace(ctx context.Context, dir string) (*os.File, error) {
	for {
		for i := range atOnce {
			f, err := lock(ctx, filepath.Join(dir, "place"+strconv.Itoa(i)+".test.lock"), false)
			if !errors.Is(err, syscall.EWOULDBLOCK) {
				return f, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
