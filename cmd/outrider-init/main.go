//go:build linux

// Command outrider-init is the init container: it puts the pod's redirect
// rules into the kernel, reads them back, proves them, and exits.
package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/outrider-mesh/outrider/redirect"
	"github.com/outrider-mesh/outrider/redirect/kernel"
)

// version is set by the linker: -X main.version=v1.2.3.
var version = ""

func main() {
	os.Exit(run(os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitDone  = 0
	exitRules = 1 // the rules could not be put, verified or proved
	exitUsage = 2
)

func run(args []string, env func(string) string, stdout, stderr io.Writer) int {
	// Everything happens in one burst and the process ends: a bounded heap
	// matters, garbage that is never reused does not.
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(40 << 20)
	// One thread keeps the network namespace it was started in.
	runtime.LockOSThread()

	c, notes, err := redirect.ParseArgs(args, env)
	if err != nil {
		fmt.Fprintf(stderr, "outrider-init: %v\n", err)
		return exitUsage
	}
	for _, n := range notes {
		fmt.Fprintf(stderr, "outrider-init: note: %s\n", n)
	}
	if err := act(c, stdout); err != nil {
		fmt.Fprintf(stderr, "outrider-init: %v\n", err)
		return exitRules
	}
	return exitDone
}

func act(c redirect.Config, stdout io.Writer) error {
	switch c.Action {
	case redirect.ShowHelp:
		_, err := io.WriteString(stdout, redirect.Help())
		return err
	case redirect.ShowVersion:
		_, err := fmt.Fprintln(stdout, "outrider-init", versionText())
		return err
	case redirect.Print:
		_, err := io.WriteString(stdout, redirect.NewPlan(c, kernel.Family()).Script())
		return err
	case redirect.Cleanup:
		if err := kernel.Cleanup(); err != nil {
			return err
		}
		_, err := fmt.Fprintln(stdout, "outrider-init: the redirect rules are removed")
		return err
	}
	return apply(c, stdout)
}

// apply puts the rules in force and does not believe it: what the kernel holds
// is compared with the plan, and real connections are made.
func apply(c redirect.Config, stdout io.Writer) error {
	plan := redirect.NewPlan(c, kernel.Family())
	if err := kernel.Apply(plan); err != nil {
		return err
	}
	if err := kernel.Verify(plan); err != nil {
		return err
	}
	proofs := kernel.Prove(c, plan)
	var failed []string
	for _, p := range proofs {
		if p.Outcome == kernel.Failed {
			failed = append(failed, p.String())
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("the rules are in the kernel but do not work, another program may have rules of its own: %s",
			strings.Join(failed, "; "))
	}
	_, err := fmt.Fprintf(stdout, "outrider-init: %s; %s\n", redirect.Summary(c, plan.Family), evidence(plan, proofs))
	return err
}

// evidence counts what was verified and proved, and names what could not be
// tried.
func evidence(plan redirect.Plan, proofs []kernel.Proof) string {
	proved, remarks := 0, ""
	for _, p := range proofs {
		if p.Outcome == kernel.Proved {
			proved++
		}
		if p.Why != "" {
			remarks += "; " + p.String()
		}
	}
	return fmt.Sprintf("%d rules read back, %d of %d claims proved with connections%s",
		len(plan.Rules), proved, len(proofs), remarks)
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
