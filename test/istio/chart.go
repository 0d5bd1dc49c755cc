package istio

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/outrider-mesh/outrider/test/cache"
	"github.com/outrider-mesh/outrider/test/kit"
)

// Texts are the keys of the two ConfigMaps.
type Texts struct{ Config, Values, Mesh string }

// Render renders the chart once for each set of Helm values. Progress is written a
// line at a time to progress; nil discards it.
func Render(ctx context.Context, progress io.Writer, values ...map[string]any) ([]Texts, error) {
	program, err := Program(ctx, progress)
	if err != nil {
		return nil, err
	}
	input, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("render Istio's chart: %w", err)
	}
	cmd := exec.CommandContext(ctx, program)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &stderr
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("render Istio's chart: %w\n%s", err, &stderr)
	}
	var texts []Texts
	if err := json.Unmarshal(output, &texts); err != nil {
		return nil, fmt.Errorf("render Istio's chart: %w", err)
	}
	for i, t := range texts {
		if t.Config == "" || t.Values == "" || t.Mesh == "" {
			return nil, fmt.Errorf("render Istio's chart: a key of the ConfigMaps is empty with the values %v", values[i])
		}
	}
	return texts, nil
}

// Program returns the path of the program that renders the chart, in a directory
// of the user's cache that is named after all that it is built from. It is built
// first if it is not there, in about two minutes on two cores. Two processes never
// build at once.
func Program(ctx context.Context, progress io.Writer) (string, error) {
	if progress == nil {
		progress = io.Discard
	}
	tools, err := findTools()
	if err != nil {
		return "", err
	}
	dir, err := cacheDir(tools)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "istio-chart")
	if isFile(path) {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("build the renderer of Istio's chart: %w", err)
	}
	unlock, err := cache.Lock(ctx, dir+".lock", func() {
		_, _ = fmt.Fprintln(progress, "istio: another process is building the renderer of Istio's chart; waiting for it")
	})
	if err != nil {
		return "", fmt.Errorf("build the renderer of Istio's chart: lock the cache: %w", err)
	}
	defer unlock()
	if isFile(path) { // checked again: another process may have built it meanwhile
		return path, nil
	}
	return path, build(ctx, tools, path, progress)
}

// build compiles next to the program's place and renames it into it, so that it is
// always a whole one.
func build(ctx context.Context, tools, path string, progress io.Writer) error {
	staged := fmt.Sprintf("%s.%d", path, os.Getpid())
	defer func() { _ = os.Remove(staged) }()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-o", staged, ".")
	cmd.Dir = tools
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second

	_, _ = fmt.Fprintln(progress, "istio: building the renderer of Istio's chart; once, about 2 minutes on 2 cores")
	stop := kit.Progress(progress, "istio: building the renderer of Istio's chart")
	out, err := cmd.CombinedOutput()
	stop()
	if ctx.Err() != nil {
		return fmt.Errorf("build the renderer of Istio's chart: %w", ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("build the renderer of Istio's chart in %s: %w\n%s", tools, err, out)
	}
	return os.Rename(staged, path)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// findTools walks up from the working directory to the module of the program.
func findTools() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module test/istio/tools: %w", err)
	}
	for from := dir; ; {
		tools := filepath.Join(from, "test", "istio", "tools")
		if isFile(filepath.Join(tools, "go.mod")) {
			return tools, nil
		}
		parent := filepath.Dir(from)
		if parent == from {
			return "", fmt.Errorf("find the module test/istio/tools: not in or above %s; run inside the checkout", dir)
		}
		from = parent
	}
}

func cacheDir(tools string) (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache for the renderer of Istio's chart: %w", err)
	}
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		data, err := os.ReadFile(filepath.Join(tools, name))
		if err != nil {
			return "", fmt.Errorf("find the cache for the renderer of Istio's chart: %w", err)
		}
		_, _ = fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
	}
	_, _ = fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return filepath.Join(base, "outrider", "istio-"+hex.EncodeToString(h.Sum(nil))[:16]), nil
}
