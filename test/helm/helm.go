// Package helm has the real helm command for tests.
//
// Helm comes from its Go module, which tools/go.mod pins; nothing of it is in this
// repository. It is built once, and kept in the user's cache.
package helm

import (
	"context"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/test/cache"
)

// Version is the Helm that Program builds; tools/go.mod has the same.
const Version = "v4.3.2"

// requireEnv set to 1 turns every skip for lack of a real program into a failure.
const requireEnv = "REQUIRE_REAL"

// buildTimeout bounds the one build: it takes four minutes on two cores.
const buildTimeout = 15 * time.Minute

// Program returns the path of the helm command, and builds it if it is not in the
// cache.
func Program(ctx context.Context, progress io.Writer) (string, error) {
	return cache.Program{
		Name: "helm", What: "Helm", Takes: "4 minutes on 2 cores",
		Module: "test/helm/tools", Package: "helm.sh/helm/v4/cmd/helm",
		// Without the version, Helm reports v4.3 alone.
		Flags: "-s -w -X helm.sh/helm/v4/internal/version.version=" + Version,
	}.Path(ctx, progress)
}

// shared is what the tests of one test binary share.
var shared = sync.OnceValues(func() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	return Program(ctx, os.Stderr)
})

// Require returns the path of the helm command, as Program does. Where it cannot be
// had the test is skipped with the reason; with REQUIRE_REAL=1 it fails instead.
// Under -short it is skipped unless REQUIRE_REAL=1.
func Require(t testing.TB) string {
	t.Helper()
	required := os.Getenv(requireEnv) == "1"
	if testing.Short() && !required {
		t.Skip("needs Helm; -short omits it")
	}
	path, err := shared()
	switch {
	case err == nil:
		return path
	case required:
		t.Fatalf("%s=1 and no Helm: %v", requireEnv, err)
	default:
		t.Skipf("no Helm (%s=1 makes this a failure): %v", requireEnv, err)
	}
	return ""
}
