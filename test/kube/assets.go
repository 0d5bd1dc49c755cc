package kube

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/outrider-mesh/outrider/test/cache"
	"github.com/outrider-mesh/outrider/test/kit"
)

// assetsEnv is envtest's variable: a directory that holds the three binaries.
const assetsEnv = "KUBEBUILDER_ASSETS"

// binary is one program of the set and the package it is built from.
type binary struct{ name, pkg string }

// binaries lists the set in the order it is built: the server first, since it
// takes the longest and the others share its packages.
var binaries = []binary{
	{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
	{"etcd", "go.etcd.io/etcd/server/v3"},
	{"kubectl", "k8s.io/kubernetes/cmd/kubectl"},
}

// Assets returns a directory with kube-apiserver, etcd and kubectl. It is the
// value of KUBEBUILDER_ASSETS where that is set. Otherwise it is a directory in
// the user's cache named after everything the build depends on, and what is not
// yet there is built, which takes several minutes the first time. Two processes
// never build at once: the second waits for the first. Progress is written a
// line at a time to progress; nil discards it.
func Assets(ctx context.Context, progress io.Writer) (string, error) {
	if progress == nil {
		progress = io.Discard
	}
	if dir := os.Getenv(assetsEnv); dir != "" {
		if missing := missingIn(dir); len(missing) > 0 {
			return "", fmt.Errorf("use %s=%s: it has no %s; name a directory with kube-apiserver, etcd and kubectl, or unset the variable to have them built",
				assetsEnv, dir, names(missing))
		}
		return dir, nil
	}
	tools, err := findTools()
	if err != nil {
		return "", err
	}
	dir, err := cacheDir(tools)
	if err != nil {
		return "", err
	}
	return dir, buildMissing(ctx, tools, dir, progress)
}

// buildMissing builds into dir what it lacks, under a lock beside dir.
func buildMissing(ctx context.Context, tools, dir string, progress io.Writer) error {
	if len(missingIn(dir)) == 0 { // Go is not needed then
		return nil
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("build the Kubernetes test servers: %w; install Go, or set %s to a directory with kube-apiserver, etcd and kubectl", err, assetsEnv)
	}
	err = cache.Once(ctx, dir, func() bool { return len(missingIn(dir)) == 0 },
		func() {
			_, _ = fmt.Fprintln(progress, "kube: another process is building the test servers; waiting for it")
		},
		func() error { return buildAll(ctx, goTool, tools, dir, progress) })
	if err != nil {
		return fmt.Errorf("build the Kubernetes test servers: %w", err)
	}
	return nil
}

func buildAll(ctx context.Context, goTool, tools, dir string, progress io.Writer) error {
	missing := missingIn(dir)
	if len(missing) == len(binaries) {
		_, _ = fmt.Fprintln(progress, "kube: building the Kubernetes test servers; once, about 6 minutes on 2 cores")
	}
	for i, b := range missing {
		step := fmt.Sprintf("%s (%d of %d)", b.name, i+1, len(missing))
		if err := build(ctx, goTool, tools, dir, b, step, progress); err != nil {
			return err
		}
	}
	return nil
}

// build compiles one binary next to its place and renames it into it, so that
// a binary in dir is always a whole one.
func build(ctx context.Context, goTool, tools, dir string, b binary, step string, progress io.Writer) error {
	flags, err := linkerFlags(tools)
	if err != nil {
		return err
	}
	stage, err := os.MkdirTemp(dir, ".build-")
	if err != nil {
		return fmt.Errorf("build %s: %w", b.name, err)
	}
	defer func() { _ = os.RemoveAll(stage) }()

	staged := filepath.Join(stage, b.name)
	cmd := exec.CommandContext(ctx, goTool, "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", flags, "-o", staged, b.pkg)
	cmd.Dir = tools
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	// An interrupt lets the go command take its compilers down with it.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second

	start := time.Now()
	_, _ = fmt.Fprintln(progress, "kube: building "+step)
	stop := kit.Progress(progress, "kube: building "+step)
	out, err := cmd.CombinedOutput()
	stop()
	if ctx.Err() != nil {
		return fmt.Errorf("build %s: %w", b.name, ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("build %s in %s: %w\n%s", b.name, tools, err, out)
	}
	if err := os.Rename(staged, filepath.Join(dir, b.name)); err != nil {
		return fmt.Errorf("build %s: %w", b.name, err)
	}
	_, _ = fmt.Fprintf(progress, "kube: built %s in %s\n", step, time.Since(start).Round(time.Second))
	return nil
}

// findTools walks up from the working directory to the module that pins the
// binaries. A test runs in its package's directory and a command in the
// checkout, so both find it.
func findTools() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the test tools module: %w", err)
	}
	for from := dir; ; {
		tools := filepath.Join(from, "test", "kube", "tools")
		if _, err := os.Stat(filepath.Join(tools, "go.mod")); err == nil {
			return tools, nil
		}
		parent := filepath.Dir(from)
		if parent == from {
			return "", fmt.Errorf("find the test tools module: no test/kube/tools/go.mod in or above %s; run inside the checkout, or set %s", dir, assetsEnv)
		}
		from = parent
	}
}

// cacheDir names the directory for what the tools module pins, as built by
// this Go version for this platform.
func cacheDir(tools string) (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache for the Kubernetes test servers: %w", err)
	}
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(tools, name))
		if err != nil {
			return "", fmt.Errorf("find the cache for the Kubernetes test servers: %w", err)
		}
		_, _ = fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
	}
	_, _ = fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH, binaries)
	return filepath.Join(base, "outrider", "kube-"+hex.EncodeToString(h.Sum(nil))[:16]), nil
}

var kubernetesVersion = regexp.MustCompile(`(?m)^\s*(?:require )?k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+\S*)`)

// linkerFlags strips the binaries and sets the version they were built
// from, which a build of the plain module does not have: it reports v0.0.0,
// and clients then do not guess what the server can do.
func linkerFlags(tools string) (string, error) {
	mod := filepath.Join(tools, "go.mod")
	data, err := os.ReadFile(mod)
	if err != nil {
		return "", fmt.Errorf("read the Kubernetes version: %w", err)
	}
	v := kubernetesVersion.FindSubmatch(data)
	if v == nil {
		return "", fmt.Errorf("read the Kubernetes version: %s requires no k8s.io/kubernetes", mod)
	}
	const pkg = "k8s.io/component-base/version"
	return fmt.Sprintf("-s -w -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s", pkg, v[1], v[2], v[3]), nil
}

// missingIn lists the binaries that dir does not hold as executable files.
func missingIn(dir string) []binary {
	var missing []binary
	for _, b := range binaries {
		info, err := os.Stat(filepath.Join(dir, b.name))
		if errors.Is(err, os.ErrNotExist) || err == nil && (info.IsDir() || info.Mode()&0o111 == 0) {
			missing = append(missing, b)
		}
	}
	return missing
}

func names(set []binary) string {
	list := make([]string, len(set))
	for i, b := range set {
		list[i] = b.name
	}
	return strings.Join(list, ", ")
}
