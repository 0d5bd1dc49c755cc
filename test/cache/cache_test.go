package cache

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

func TestLockExcludes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	never := func() { t.Error("waited for a free lock") }
	unlock, err := Lock(t.Context(), path, never)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no file locks on this system")
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Lock(ctx, path, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("second lock: %v, want to wait until cancelled", err)
	}
	unlock()
	unlock, err = Lock(t.Context(), path, never)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
