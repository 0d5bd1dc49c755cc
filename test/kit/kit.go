// Package kit is what tests of several packages need: waiting for a condition,
// free ports, the checkout, progress of long work. Networks of pods are in
// test/kit/netns.
package kit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Patience is how long Eventually waits unless the caller sets another limit. On
// an idle machine most conditions hold within a second.
const Patience = 30 * time.Second

// Wait returns how long to wait for a condition, and how often to check it. The
// zero value waits for Patience and checks every 20 ms.
type Wait struct {
	For, Every time.Duration
	// Ended ends the wait early; nil means never.
	Ended <-chan struct{}
}

// ErrEnded is the error of a wait that Ended has ended.
var ErrEnded = errors.New("the wait was ended")

// Until checks until there is no error, and returns how long that took. The
// last error is part of the returned one.
func (w Wait) Until(ctx context.Context, check func() error) (time.Duration, error) {
	if w.For == 0 {
		w.For = Patience
	}
	if w.Every == 0 {
		w.Every = 20 * time.Millisecond
	}
	for began := time.Now(); ; {
		err := check()
		took := time.Since(began)
		switch {
		case err == nil:
			return took, nil
		case took > w.For:
			return took, fmt.Errorf("not within %s: %w", w.For, err)
		}
		select {
		case <-ctx.Done():
			return took, errors.Join(ctx.Err(), err)
		case <-w.Ended:
			return took, errors.Join(ErrEnded, err)
		case <-time.After(w.Every):
		}
	}
}

// Eventually fails the test unless check has no error before the wait is over.
// It returns how long that took.
func (w Wait) Eventually(t testing.TB, what string, check func() error) time.Duration {
	t.Helper()
	// The test's own context is over while it cleans up.
	took, err := w.Until(context.Background(), check)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return took
}

// Eventually is Wait{}.Eventually.
func Eventually(t testing.TB, what string, check func() error) time.Duration {
	t.Helper()
	return Wait{}.Eventually(t, what, check)
}

// EventuallyTrue is Eventually for a condition without an error.
func EventuallyTrue(t testing.TB, what string, holds func() bool) time.Duration {
	t.Helper()
	return Wait{Every: 5 * time.Millisecond}.Eventually(t, what, func() error {
		if !holds() {
			return errors.New("the condition does not hold")
		}
		return nil
	})
}

// Must fails the test on an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// FreeAddresses are n addresses "127.0.0.1:PORT" on which nothing listens. All
// are held until all are known, so that they differ. They are below the kernel's range of
// local ports: otherwise a connection of another test could get the port before the server
// listens.
func FreeAddresses(n int) ([]string, error) {
	const first, ports = 20000, 10000
	var out []string
	for tries := 0; len(out) < n; tries++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(ports)))
		switch {
		case err == nil:
			defer func() { _ = l.Close() }()
			out = append(out, l.Addr().String())
		case tries > 100:
			return nil, fmt.Errorf("find a free port: %w", err)
		}
	}
	return out, nil
}

// FreeAddress is one address of FreeAddresses.
func FreeAddress(t testing.TB) string {
	t.Helper()
	addresses, err := FreeAddresses(1)
	Must(t, err)
	return addresses[0]
}

// Checkout is the directory of the product's go.mod: the closest one, at or
// above the working directory, that has this package in it. A test runs in its
// package's directory.
func Checkout() (string, error) {
	at, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the checkout: %w", err)
	}
	for dir := at; ; dir = filepath.Dir(dir) {
		_, err := os.Stat(filepath.Join(dir, "test", "kit", "kit.go"))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("find the checkout: %w", err)
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find the checkout: no test/kit in or above %s; run inside the checkout", at)
		}
	}
}
