package cache

import (
	"context"
	"errors"
	"os"
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

func TestOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "filled")
	fills, broken := 0, errors.New("no space")
	filled := func() bool { _, err := os.Stat(filepath.Join(dir, "file")); return err == nil }
	never := func() { t.Error("waited for a free lock") }
	err := Once(t.Context(), dir, filled, never, func() error { return broken })
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no file locks on this system")
	}
	if !errors.Is(err, broken) {
		t.Errorf("%v, want the error of fill", err)
	}
	for range 2 {
		err := Once(t.Context(), dir, filled, never, func() error {
			fills++
			return os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if fills != 1 {
		t.Errorf("filled %d times, want once", fills)
	}
}
