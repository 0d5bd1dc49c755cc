package envoy

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"
)

// requireEnv set to 1 turns every skip for lack of a real program into a failure.
const requireEnv = "REQUIRE_REAL"

// downloadTimeout bounds the one download of a test binary: at 100 KB/s it
// takes six minutes.
const downloadTimeout = 8 * time.Minute

// shared is what the tests of one test binary share.
var shared = sync.OnceValues(func() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), downloadTimeout)
	defer cancel()
	return Binary(ctx, os.Stderr)
})

// Require returns the path of an Envoy, as Binary does. Where it cannot be had
// the test is skipped with the reason; with REQUIRE_REAL=1 it fails instead.
// Under -short it is skipped unless REQUIRE_REAL=1.
func Require(t testing.TB) string { t.Helper(); return require(t, shared) }

// RequireVersion is Require for a version of the table.
func RequireVersion(t testing.TB, version string) string {
	t.Helper()
	if version == Version {
		return Require(t)
	}
	return require(t, func() (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), downloadTimeout)
		defer cancel()
		return BinaryOf(ctx, version, os.Stderr)
	})
}

func require(t testing.TB, get func() (string, error)) string {
	t.Helper()
	required := os.Getenv(requireEnv) == "1"
	if testing.Short() && !required {
		t.Skip("needs a real Envoy; -short omits it")
	}
	path, err := get()
	switch {
	case err == nil:
		return path
	case required:
		t.Fatalf("%s=1 and no real Envoy: %v", requireEnv, err)
	default:
		t.Skipf("no real Envoy (%s=1 makes this a failure): %v", requireEnv, err)
	}
	return ""
}
