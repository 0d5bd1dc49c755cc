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

// step is a part of the demo. What one makes, the next ones use.
type step struct {
	title string
	run   func(*demo, context.Context) error
}

var (
	before     = step{"Before: the sleep sample in a namespace without the label", (*demo).applyUnlabelled}
	after      = step{"After: the namespace is labelled, and the pod made anew", (*demo).labelAndRestart}
	ranges     = step{"Which ranges apply, and where each came from", (*demo).showRanges}
	edits      = step{"The administrator excludes a range: the next pod has it, the old one is left alone", (*demo).editConfiguration}
	badEdit    = step{"A bad edit is refused with all its mistakes, and nothing changes", (*demo).breakConfiguration}
	override   = step{"A pod decides for itself: its annotation replaces the ConfigMap's value", (*demo).overrideByAnnotation}
	badPod     = step{"A bad annotation refuses the pod, and says how to mend it", (*demo).refuseAnnotation}
	misplaced  = step{"A warning for who applies a Deployment: the annotation is in the wrong place", (*demo).warnAboutWorkload}
	fromAsFile = step{"The same sample as a file, without a cluster: kube-inject", (*demo).injectFile}
)

// onServer are the steps on the API server alone, where no pod runs.
var onServer = []step{
	{"A real API server, and the real program as its webhook", (*demo).start},
	before, after, ranges, edits, badEdit, override, badPod, misplaced, fromAsFile,
}

// onCluster are the steps on a real cluster: the same, with the three ways out
// of the cluster between them.
var onCluster = []step{
	{"A real cluster, and the program installed on it", (*demo).install},
	before, after, ranges,
	{"First way out: any destination, through the sidecar", (*demo).passThrough},
	{"Second way out: known destinations only, with rules", (*demo).controlled},
	edits,
	{"Third way out: without the sidecar, for the range that was excluded", (*demo).bypass},
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
	on := flag.String("on", either, "`where` to run: on a real cluster, on the API server alone (server), or on the former where that is possible (either)")
	name := flag.String("name", "demo", "the `name` of the cluster that the demo makes")
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
		d.say("Everything came out as promised, in %s.", time.Since(d.began).Round(time.Second))
		return exitOK
	case ctx.Err() != nil:
		d.say("Interrupted.")
		return exitInterrupted
	}
	d.failed(err)
	return exitError
}

// choose brings a cluster up, or says why the demo goes without one.
func (d *demo) choose(ctx context.Context, on string) ([]step, error) {
	if on == server {
		return onServer, nil
	}
	hint := time.AfterFunc(20*time.Second, func() {
		d.aside("the first time, the programs of a cluster are built, for about 20 minutes; make demo ON=server goes without them")
	})
	err := d.bringUp(ctx)
	hint.Stop()
	switch {
	case err == nil:
		d.say("The demo runs on a real cluster of one node, brought up for it.")
		return onCluster, nil
	case ctx.Err() != nil || on == cluster:
		return nil, err
	}
	reason, _, _ := strings.Cut(err.Error(), "\n")
	d.say("The demo runs on a real API server alone, where no pod runs: there is no cluster to be had here (%s).", reason)
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
// gone: "go run", and with it "make demo", dies of SIGTERM without passing it on.
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
