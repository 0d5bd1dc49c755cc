package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/outrider-mesh/outrider/test/kit"
)

// Program is a program for tests, built from a Go module of its own.
type Program struct {
	Name    string   // of the file, and of its directory in the user's cache
	What    string   // in messages, such as "the renderer of Istio's chart"
	Takes   string   // how long the build takes, such as "2 minutes on 2 cores"
	Module  string   // directory of the module in the checkout
	Package string   // the main package: "." or one that the module pins
	Sources []string // files of the module, besides go.mod and go.sum
	Flags   string   // for the linker
}

// Path returns the path of the program, in a directory of the user's cache that is
// named after all that it is built from. It is built first if it is not there. Two
// processes never build at once. Progress is written a line at a time to progress;
// nil discards it.
func (p Program) Path(ctx context.Context, progress io.Writer) (string, error) {
	if progress == nil {
		progress = io.Discard
	}
	root, err := kit.Checkout()
	if err != nil {
		return "", fmt.Errorf("build %s: %w", p.What, err)
	}
	module := filepath.Join(root, filepath.FromSlash(p.Module))
	dir, err := p.dir(module)
	if err != nil {
		return "", fmt.Errorf("build %s: find its cache: %w", p.What, err)
	}
	path := filepath.Join(dir, p.Name)
	err = Once(ctx, dir, func() bool { return isProgram(path) },
		func() {
			_, _ = fmt.Fprintf(progress, "%s: another process is building %s; waiting for it\n", p.Name, p.What)
		},
		func() error { return p.build(ctx, module, path, progress) })
	if err != nil {
		return "", fmt.Errorf("build %s: %w", p.What, err)
	}
	return path, nil
}

// build compiles next to the program's place and renames it into it, so that it is
// always a whole one.
func (p Program) build(ctx context.Context, module, path string, progress io.Writer) error {
	staged := fmt.Sprintf("%s.%d", path, os.Getpid())
	defer func() { _ = os.Remove(staged) }()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", p.Flags, "-o", staged, p.Package)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	// An interrupt lets the go command take its compilers down with it.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second

	_, _ = fmt.Fprintf(progress, "%s: building %s; once, about %s\n", p.Name, p.What, p.Takes)
	stop := kit.Progress(progress, p.Name+": building "+p.What)
	out, err := cmd.CombinedOutput()
	stop()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("in %s: %w\n%s", module, err, out)
	}
	return os.Rename(staged, path)
}

func (p Program) dir(module string) (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, name := range append([]string{"go.mod", "go.sum"}, p.Sources...) {
		data, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
	}
	_, _ = fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH, p.Package, p.Flags)
	return filepath.Join(base, "outrider", p.Name+"-"+hex.EncodeToString(h.Sum(nil))[:16]), nil
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
