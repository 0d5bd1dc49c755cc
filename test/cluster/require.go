package cluster

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// requireEnv set to 1 turns every skip for lack of a real cluster into a failure.
const requireEnv = "REQUIRE_REAL"

// Require skips the test where no cluster can be had, with the reason; with
// REQUIRE_REAL=1 it fails instead. Under -short it skips unless REQUIRE_REAL=1.
//
// On return the programs are built and the test holds, to its end, the turn of the name,
// which is that of its clusters or the beginning of their names: the names are fixed, so
// that what a killed run leaves behind is removed by the next. Tests of two names at a time
// have clusters.
func Require(t testing.TB, name string) {
	t.Helper()
	required := os.Getenv(requireEnv) == "1"
	if testing.Short() && !required {
		t.Skip("brings up a real cluster; -short omits it")
	}
	unlock, err := prepare(t, name)
	switch {
	case err == nil:
		t.Cleanup(unlock)
	case required:
		t.Fatalf("%s=1 and no real cluster: %v", requireEnv, err)
	default:
		t.Skipf("no real cluster (%s=1 makes this a failure): %v", requireEnv, err)
	}
}

// reserve is the time that a test keeps for its clusters.
const reserve = 5 * time.Minute

// prepare builds what the cache lacks as far as the test's time allows; the next
// run goes on from there. Then it waits for its turn.
func prepare(t testing.TB, name string) (unlock func(), err error) {
	ctx := t.Context()
	if d, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		if deadline, ok := d.Deadline(); ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, deadline.Add(-reserve))
			defer cancel()
		}
	}
	if err = Build(ctx, os.Stderr); err == nil {
		unlock, err = turn(ctx, Home, name)
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("the test's time is too short to build the programs and to wait for other tests with clusters; run it with -timeout 40m: %w", err)
	}
	return unlock, err
}
