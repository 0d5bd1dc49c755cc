//go:build unix

// Command launch is what `make demo` runs first. It shows what is built and how long that
// takes here, builds outrider and shows an injection by file, before anything of
// Kubernetes is built, and then becomes the demo.
//
// It imports the standard library alone, so that it is itself built in seconds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube/programs"
)

// The exit codes are those of the demo.
const (
	exitError       = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// launch is one start.
type launch struct {
	w     io.Writer
	root  string    // the checkout
	began time.Time // of make
	on    string
	set   *programs.Set
}

func main() {
	on := flag.String("on", "either", "`where` the demo runs: cluster, server, context or either")
	began := flag.Int64("began", time.Now().Unix(), "`time` at which make was started, in seconds since 1970")
	flag.Parse() // what follows is for the demo
	if !slices.Contains([]string{"either", "cluster", "server", "context"}, *on) {
		flag.Usage()
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	l := &launch{w: os.Stdout, began: time.Unix(*began, 0), on: *on}
	first, err := l.run(ctx)
	switch {
	case ctx.Err() != nil:
		fmt.Println("Interrupted.")
		os.Exit(exitInterrupted)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(exitError)
	}
	stop()
	err = l.becomeDemo(first, flag.Args())
	fmt.Fprintln(os.Stderr, "demo:", err)
	os.Exit(exitError)
}

// run shows the plan and the injection by file, and returns how long after the start that
// was shown.
func (l *launch) run(ctx context.Context) (time.Duration, error) {
	var err error
	if l.root, err = kit.Checkout(); err != nil {
		return 0, err
	}
	if l.set, err = programs.Find(); err != nil {
		return 0, err
	}
	parts := l.parts(ctx)
	_, _ = io.WriteString(l.w, plan(parts, cores()))
	work, err := os.MkdirTemp("", "outrider-demo-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(work) }()
	fetched := l.fetch(ctx, parts)
	defer fetched()
	if err := l.buildOutrider(ctx, work); err != nil {
		return 0, err
	}
	return l.injectFile(ctx, work)
}

// fetch downloads what later builds need while outrider is compiled. The function that it
// returns waits for it.
func (l *launch) fetch(ctx context.Context, parts []part) (wait func()) {
	var group sync.WaitGroup
	for _, p := range parts {
		if p.left > 0 && p.fetch != nil {
			group.Go(func() { p.fetch(ctx) })
		}
	}
	return group.Wait
}

func (l *launch) buildOutrider(ctx context.Context, work string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", filepath.Join(work, "outrider"), "./cmd/outrider")
	cmd.Dir, cmd.Env = l.root, programs.Environ()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	stop := kit.Progress(l.w, "building outrider")
	out, err := cmd.CombinedOutput()
	stop()
	if err != nil {
		return fmt.Errorf("build outrider: %w\n%s", err, out)
	}
	return nil
}

const sample = "samples/sleep/sleep.yaml"

// injectFile shows what kube-inject does to the sample.
func (l *launch) injectFile(ctx context.Context, work string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(work, "outrider"), "kube-inject", "-f", sample, "--diff")
	cmd.Dir = l.root
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		return 0, fmt.Errorf("inject %s: %w", sample, err)
	}
	first := time.Since(l.began)
	text, err := injection(string(out))
	if err != nil {
		return 0, fmt.Errorf("inject %s: %w", sample, err)
	}
	_, err = fmt.Fprintf(l.w, "$ outrider kube-inject -f %s --diff\n%s\nThe first injected manifest, after %s.\n\n", sample, text, minutes(first))
	return first, err
}

// becomeDemo replaces the process by that of the demo, so that its parent, its process
// group and its signals stay what they are. It returns only if that fails.
func (l *launch) becomeDemo(first time.Duration, args []string) error {
	path, err := exec.LookPath("go")
	if err != nil {
		return err
	}
	if err := os.Chdir(l.root); err != nil {
		return err
	}
	argv := append([]string{"go", "run", "-trimpath", "./test/demo", "-on=" + l.on,
		fmt.Sprint("-began=", l.began.Unix()), fmt.Sprint("-first=", first)}, args...)
	env := slices.DeleteFunc(programs.Environ(), func(v string) bool { return strings.HasPrefix(v, "GOGC=") && os.Getenv("GOGC") == "" })
	return syscall.Exec(path, argv, env)
}
