package kube

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// requireEnv set to 1 turns every skip for lack of a real server into a failure.
const requireEnv = "REQUIRE_REAL"

// shared is the one server of a test binary.
var shared struct {
	once   sync.Once
	server *Server
	err    error
	audit  bool
}

// Require returns the server that the tests of this binary share and starts it
// if this is the first call. Where it cannot be had the test is skipped with
// the reason; with REQUIRE_REAL=1 it fails instead. Under -short it is skipped
// unless REQUIRE_REAL=1.
func Require(t testing.TB) *Server {
	t.Helper()
	required := os.Getenv(requireEnv) == "1"
	if testing.Short() && !required {
		t.Skip("needs a real API server; -short omits it")
	}
	shared.once.Do(func() {
		shared.server, shared.err = Start(context.Background(), Options{Progress: os.Stderr, Audit: shared.audit})
	})
	switch {
	case shared.err == nil:
		return shared.server
	case required:
		t.Fatalf("%s=1 and no real API server: %v", requireEnv, shared.err)
	default:
		t.Skipf("no real API server (%s=1 makes this a failure): %v", requireEnv, shared.err)
	}
	return nil
}

// Main runs the tests of a package and then stops the shared server, also on an
// interrupt. It returns the code to exit with.
func Main(m *testing.M) int {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		if err := stopShared(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(130) // 128 + SIGINT, as a shell reports it
	}()
	code := m.Run()
	if err := stopShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

// MainAudited is Main with the audit log of Options.
func MainAudited(m *testing.M) int {
	shared.audit = true
	return Main(m)
}

func stopShared() error {
	// Whoever comes first wins: either the server is up, or it never starts.
	shared.once.Do(func() { shared.err = context.Canceled })
	if shared.server == nil {
		return nil
	}
	return shared.server.Stop()
}

// Namespace makes a fresh namespace with the given labels, as CreateNamespace
// does, and returns its name, which begins with the test's. It is not removed:
// without controllers it never would be, and the server ends with the tests.
func (s *Server) Namespace(t testing.TB, labels map[string]string) string {
	t.Helper()
	name := namespaceName(t.Name())
	if err := s.CreateNamespace(t.Context(), name, labels); err != nil {
		t.Fatal(err)
	}
	return name
}

// namespaceName makes a DNS label out of a test's name. It keeps 40 of the 63
// characters allowed, which leaves room for names that a test derives from it.
func namespaceName(test string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(test) {
		if b.Len() == 40 {
			break
		}
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789", r) {
			r = '-'
		}
		b.WriteRune(r)
	}
	return strings.Trim(b.String(), "-") + "-" + strings.ToLower(rand.Text()[:6])
}
