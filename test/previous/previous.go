package previous

import (
	"context"
	_ "embed" // the commit
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/test/cache"
	"github.com/outrider-mesh/outrider/test/kit"
)

//go:embed COMMIT
var commit string

// Commit is the pinned commit.
func Commit() string { return strings.TrimSpace(commit) }

// requireEnv set to 1 turns every skip for lack of a real program into a failure.
const requireEnv = "REQUIRE_REAL"

// buildTimeout bounds the one build: it takes two minutes on two cores.
const buildTimeout = 15 * time.Minute

// Require returns the directory of the earlier version: its programs "outrider" and
// "outrider-init", and its manifests in "deploy". Where it cannot be built the test is skipped with the
// reason; with REQUIRE_REAL=1 it fails instead. Under -short it is skipped unless
// REQUIRE_REAL=1.
func Require(t testing.TB) string {
	t.Helper()
	required := os.Getenv(requireEnv) == "1"
	if testing.Short() && !required {
		t.Skip("needs the program of an earlier version; -short omits it")
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	dir, err := Build(ctx, os.Stderr)
	switch {
	case err == nil:
		return dir
	case required:
		t.Fatalf("%s=1 and no earlier version: %v", requireEnv, err)
	default:
		t.Skipf("no earlier version (%s=1 makes this a failure): %v", requireEnv, err)
	}
	return ""
}

// Build returns the directory that Require describes. It is made first if it is not
// there. Progress is written a line at a time to progress.
func Build(ctx context.Context, progress io.Writer) (string, error) {
	root, err := kit.Checkout()
	if err != nil {
		return "", fmt.Errorf("build the earlier version: %w", err)
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("build the earlier version: find the cache: %w", err)
	}
	dir := filepath.Join(base, "outrider", fmt.Sprintf("previous-%.12s-%s-%s", Commit(), runtime.GOOS, runtime.GOARCH))
	err = cache.Once(ctx, dir, func() bool { return isFile(filepath.Join(dir, programs[0])) },
		func() {
			_, _ = fmt.Fprintln(progress, "previous: another process is building the earlier version; waiting for it")
		},
		func() error { return build(ctx, root, dir, progress) })
	if err != nil {
		return "", fmt.Errorf("build the earlier version %.12s: %w", Commit(), err)
	}
	return dir, nil
}

// programs are those of the earlier version. The first is the last to be there.
var programs = []string{"outrider-init", "outrider"}

// build puts the files of the commit into the directory, and the programs last, so that
// a directory with all of them is complete.
func build(ctx context.Context, root, dir string, progress io.Writer) error {
	if err := run(ctx, root, "git", "cat-file", "-e", Commit()+"^{commit}"); err != nil {
		return fmt.Errorf("the repository does not have it (git fetch --unshallow gets the whole history): %w", err)
	}
	source := filepath.Join(dir, "source")
	if err := os.RemoveAll(source); err != nil {
		return err
	}
	if err := os.MkdirAll(source, 0o755); err != nil {
		return err
	}
	archive := filepath.Join(dir, "source.tar")
	defer func() { _ = os.RemoveAll(source); _ = os.Remove(archive) }()
	_, _ = fmt.Fprintln(progress, "previous: building the earlier version; once, about 2 minutes on 2 cores")
	stop := kit.Progress(progress, "previous: building the earlier version")
	defer stop()
	staged := filepath.Join(dir, "staged")
	if err := os.MkdirAll(staged, 0o755); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(staged) }()
	for _, step := range []struct {
		in   string
		args []string
	}{
		{root, []string{"git", "archive", "--output=" + archive, Commit()}},
		{source, []string{"tar", "-xf", archive}},
		{source, []string{"go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-o", staged + "/", "./cmd/outrider", "./cmd/outrider-init"}},
		{dir, []string{"rm", "-rf", "deploy"}},
		{dir, []string{"cp", "-r", "source/deploy", "deploy"}},
	} {
		if err := run(ctx, step.in, step.args...); err != nil {
			return err
		}
	}
	for _, name := range slices.Backward(programs) {
		if err := os.Rename(filepath.Join(staged, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func run(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
