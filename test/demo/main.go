package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// steps are the demo, in order. What one makes, the next ones use.
var steps = []struct {
	title string
	run   func(*demo, context.Context) error
}{
	{"A real API server, and the real program as its webhook", (*demo).start},
	{"Before: the sleep sample in a namespace without the label", (*demo).applyUnlabelled},
	{"After: the namespace is labelled, and the pod made anew", (*demo).labelAndRestart},
	{"Which ranges apply, and where each came from", (*demo).showRanges},
	{"The administrator excludes a range: the next pod has it, the old one is left alone", (*demo).editConfiguration},
	{"A bad edit is refused with all its mistakes, and nothing changes", (*demo).breakConfiguration},
	{"A pod decides for itself: its annotation replaces the ConfigMap's value", (*demo).overrideByAnnotation},
	{"A bad annotation refuses the pod, and says how to mend it", (*demo).refuseAnnotation},
	{"A warning for who applies a Deployment: the annotation is in the wrong place", (*demo).warnAboutWorkload},
	{"The same sample as a file, without a cluster: kube-inject", (*demo).injectFile},
}

// The exit codes.
const (
	exitOK          = 0
	exitError       = 1
	exitInterrupted = 130 // 128 + SIGINT, as a shell reports it
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(endWithParent(ctx), os.Stdout, colours(os.Stdout)))
}

// run shows the demo on w and returns the exit code.
func run(ctx context.Context, w io.Writer, coloured bool) int {
	d := &demo{screen: newScreen(w, coloured), began: time.Now()}
	err := d.show(ctx)
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

// show runs the steps.
func (d *demo) show(ctx context.Context) error {
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
