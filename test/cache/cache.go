// Package cache is what the builders of real servers and programs for the tests
// share: one process at a time fills a directory of the user's cache.
package cache

import (
	"context"
	"fmt"
	"os"
)

// Once calls fill unless filled reports true, with the directory dir made and a lock
// beside it held. It calls waiting if another process holds the lock.
func Once(ctx context.Context, dir string, filled func() bool, waiting func(), fill func() error) error {
	if filled() {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unlock, err := Lock(ctx, dir+".lock", waiting)
	if err != nil {
		return fmt.Errorf("lock the cache: %w", err)
	}
	defer unlock()
	if filled() { // checked again: another process may have filled it meanwhile
		return nil
	}
	return fill()
}
