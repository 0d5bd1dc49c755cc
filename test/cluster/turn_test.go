//go:build linux

package cluster

import (
	"context"
	"errors"
	"testing"
	"time"
)

// Tests of one name have clusters one after the other, tests of two names at the same time,
// and tests of a third name wait.
func TestTurn(t *testing.T) {
	dir := t.TempDir()
	waits := func(name string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := turn(ctx, dir, name); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the turn of %q: error %v, want that it waits", name, err)
		}
	}
	has := func(name string) (unlock func()) {
		t.Helper()
		unlock, err := turn(t.Context(), dir, name)
		if err != nil {
			t.Fatal(err)
		}
		return unlock
	}
	first := has("a")
	waits("a")
	second := has("b")
	waits("b")
	waits("c")
	first()
	third := has("c")
	waits("a") // it does not keep the lock of its name
	second()
	has("a")()
	third()
}
