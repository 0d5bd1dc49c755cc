package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// step is a part of the demo. Steps use the results of earlier ones.
type step struct {
	title string
	run   func(*demo, context.Context) error
}

var (
	before     = step{"Before: the sleep sample in a namespace without the label", (*demo).applyUnlabelled}
	after      = step{"After: the namespace is labelled and the pod recreated", (*demo).labelAndRestart}
	ranges     = step{"Effective ranges and their sources", (*demo).showRanges}
	edits      = step{"The administrator excludes a range: it applies to new pods, existing ones are unchanged", (*demo).editConfiguration}
	badEdit    = step{"An invalid edit is denied with all its errors, and nothing changes", (*demo).breakConfiguration}
	override   = step{"Per-pod override: an annotation takes precedence over the ConfigMap", (*demo).overrideByAnnotation}
	badPod     = step{"A pod with an invalid annotation is denied, with the fix in the message", (*demo).denyAnnotation}
	misplaced  = step{"A warning when applying a Deployment with the annotation in the wrong place", (*demo).warnAboutWorkload}
	fromAsFile = step{"The same sample injected as a file, without a cluster: kube-inject", (*demo).injectFile}
)

// onServer are the steps on the API server alone, where pods do not run.
var onServer = []step{
	{"Start a real API server, and Outrider as its webhook", (*demo).start},
	before, after, ranges, edits, badEdit, override, badPod, misplaced, fromAsFile,
}

// onCluster are the steps on a real cluster: the same, and the three ways to
// access external services.
var onCluster = []step{
	{"Install Outrider on a real cluster", (*demo).install},
	before, after, ranges,
	{"External access, passthrough: any destination, through the sidecar", (*demo).passThrough},
	{"External access, controlled: declared hosts only, with routing rules", (*demo).controlled},
	edits,
	{"External access, bypass: the excluded range, without the sidecar", (*demo).bypass},
	badEdit, override, badPod, misplaced, fromAsFile,
}

// The exit codes.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitInterrupted = 130 // 128 + SIGINT, as a shell reports it
)

// The values of flag -on.
const (
	either  = "either"
	cluster = "cluster"
	server  = "server"
)

func main() {
	on := flag.String("on", either, "`where` to run: cluster, server (the API server alone), or either (a cluster if possible)")
	name := flag.String("name", "demo", "`name` of the cluster to create")
	flag.Parse()
	if !slices.Contains([]string{either, cluster, server}, *on) || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(endWithParent(ctx), os.Stdout, colours(os.Stdout), *on, *name))
}

// run shows the demo on w and returns the exit code.
func run(ctx context.Context, w io.Writer, coloured bool, on, name string) int {
	d := &demo{screen: newScreen(w, coloured), began: time.Now(), seen: map[string]bool{}, name: name}
	steps, err := d.choose(ctx, on)
	if err == nil {
		err = d.show(ctx, steps)
	}
	err = errors.Join(err, d.close())
	switch {
	case err == nil:
		d.say("All results verified, in %s.", time.Since(d.began).Round(time.Second))
		return exitOK
	case ctx.Err() != nil:
		d.say("Interrupted.")
		return exitInterrupted
	}
	d.failed(err)
	return exitError
}

// choose brings up a cluster, or reports why the demo runs without one.
func (d *demo) choose(ctx context.Context, on string) ([]step, error) {
	if on == server {
		return onServer, nil
	}
	hint := time.AfterFunc(20*time.Second, func() {
		d.aside("the first run builds the binaries of a cluster, which takes about 20 minutes; make demo ON=server does not need them")
	})
	err := d.bringUp(ctx)
	hint.Stop()
	switch {
	case err == nil:
		d.say("Running on a real one-node cluster.")
		return onCluster, nil
	case ctx.Err() != nil || on == cluster:
		return nil, err
	}
	reason, _, _ := strings.Cut(err.Error(), "\n")
	d.say("Running on a real API server alone, where pods do not run: no cluster is available (%s).", reason)
	return onServer, nil
}

// show runs the steps.
func (d *demo) show(ctx context.Context, steps []step) error {
	for i, s := range steps {
		d.heading(i+1, len(steps), s.title)
		if err := s.run(d, ctx); err != nil {
			return fmt.Errorf("step %d, %q: %w", i+1, s.title, err)
		}
	}
	return nil
}

// endWithParent is ctx, but ends when the process that started this one is
// gone: "go run", and with it "make demo", ends on SIGTERM without forwarding it.
func endWithParent(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	parent := os.Getppid()
	go func() {
		for os.Getppid() == parent {
			time.Sleep(200 * time.Millisecond)
		}
		cancel()
	}()
	return ctx
}
