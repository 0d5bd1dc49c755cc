package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	onesOwn = "context"
)

func main() {
	d := &demo{began: time.Now(), in: os.Stdin}
	on := flag.String("on", either, "`where` to run: cluster, server (the API server alone), either (a cluster if possible), or context (a cluster of yours)")
	flag.StringVar(&d.name, "name", "demo", "`name` of the cluster to create")
	flag.StringVar(&d.context, "context", "", "`name` of the kubeconfig's context to use with -on=context (default the current one)")
	flag.BoolVar(&d.yes, "yes", false, "with -on=context, do not ask")
	flag.DurationVar(&d.first, "first", 0, "`time` after which the first injected manifest was shown")
	flag.Func("began", "`time` of the start, in seconds since 1970", func(text string) error {
		seconds, err := strconv.ParseInt(text, 10, 64)
		d.began = time.Unix(seconds, 0)
		return err
	})
	flag.Parse()
	if !slices.Contains([]string{either, cluster, server, onesOwn}, *on) || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	d.screen = newScreen(os.Stdout, colours(os.Stdout))
	os.Exit(d.show(endWithParent(ctx), *on))
}

// show runs the demo and returns the exit code.
func (d *demo) show(ctx context.Context, on string) int {
	d.seen, d.namespace, d.byHand = map[string]bool{}, metav1.NamespaceDefault, "by-hand"
	steps, err := d.choose(ctx, on)
	failed := "The demo cannot run: "
	if err == nil {
		failed = "VERIFICATION FAILED: "
		err = d.steps(ctx, steps)
	}
	err = errors.Join(err, d.close())
	switch {
	case err == nil:
		d.say("All results verified. %s", times(d.first, time.Since(d.began)))
		return exitOK
	case errors.Is(err, errDeclined):
		d.say("Nothing was changed.")
		return exitOK
	case ctx.Err() != nil:
		d.say("Interrupted.")
		return exitInterrupted
	}
	d.line(red, "\n"+failed+err.Error())
	return exitError
}

// choose brings up a cluster, or reports why the demo runs without one.
func (d *demo) choose(ctx context.Context, on string) ([]step, error) {
	switch on {
	case server:
		return onServer, nil
	case onesOwn:
		return onContext, d.useContext(ctx)
	}
	err := d.bringUp(ctx)
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

// times is what a newcomer has waited for.
func times(first, end time.Duration) string {
	text := fmt.Sprintf("%.1f minutes to the end.", end.Minutes())
	if first > 0 {
		text = fmt.Sprintf("%.1f minutes to the first injected manifest, %s", first.Minutes(), text)
	}
	return text
}

// closed describes what the end has left of the cluster.
func (d *demo) closed() string {
	switch {
	case d.mesh.Own():
		return "Stopped the cluster and removed its files."
	case d.visiting:
		return "Removed Outrider and the demo's namespaces from the cluster."
	}
	return "The cluster is as it was."
}

// steps runs them.
func (d *demo) steps(ctx context.Context, steps []step) error {
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
