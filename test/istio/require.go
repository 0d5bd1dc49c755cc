package istio

import (
	"context"
	"os"
	"testing"
	"time"
)

// requireEnv set to 1 turns every skip for lack of a real program into a failure.
const requireEnv = "REQUIRE_REAL"

// buildTimeout bounds the one build: it takes two minutes on two cores.
const buildTimeout = 15 * time.Minute

// Require returns what Render does. Where it cannot be had the test is skipped with
// the reason; with REQUIRE_REAL=1 it fails instead. Under -short it is skipped
// unless REQUIRE_REAL=1.
func Require(t testing.TB, values ...map[string]any) (texts []Texts) {
	t.Helper()
	require(t, func(ctx context.Context) (err error) {
		texts, err = Render(ctx, os.Stderr, values...)
		return err
	})
	return texts
}

// RequireCharts returns a directory with what Write writes, or skips the test as Require
// does.
func RequireCharts(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	require(t, func(ctx context.Context) error { return Write(ctx, os.Stderr, dir) })
	return dir
}

func require(t testing.TB, get func(context.Context) error) {
	t.Helper()
	required := os.Getenv(requireEnv) == "1"
	if testing.Short() && !required {
		t.Skip("needs Istio's chart; -short omits it")
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	switch err := get(ctx); {
	case err == nil:
	case required:
		t.Fatalf("%s=1 and no chart of Istio: %v", requireEnv, err)
	default:
		t.Skipf("no chart of Istio (%s=1 makes this a failure): %v", requireEnv, err)
	}
}
