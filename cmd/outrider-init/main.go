//go:build linux

// Command outrider-init is the init container: it installs the pod's redirect
// rules in the kernel, verifies them, also with test connections, and exits.
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
	exitRules = 1 // rules could not be installed or verified
	exitUsage = 2
)

func run(args []string, env func(string) string, stdout, stderr io.Writer) int {
	// Everything happens at once and the process exits: a bounded heap matters,
	// garbage that is never reused does not.
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(40 << 20)
	// One thread keeps the network namespace it was started in.
	runtime.LockOSThread()

	c, notes, err := redirect.ParseArgs(args, env)
	if err != nil {
		fmt.Fprintf(stderr, "outrider-init: invalid arguments:\n  %s\n", strings.ReplaceAll(err.Error(), "\n", "\n  "))
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
		_, err := fmt.Fprintln(stdout, "outrider-init: redirect rules removed")
		return err
	}
	if err := apply(c, stdout); err != nil || !c.WaitForProxy {
		return err
	}
	return waitForProxy(stdout)
}

// apply installs the rules and verifies them: what the kernel holds is compared
// with the plan, and test connections are made.
func apply(c redirect.Config, stdout io.Writer) error {
	plan := redirect.NewPlan(c, kernel.Family())
	tests, err := install(c, plan)
	if err != nil {
		return err
	}
	var failed []string
	for _, t := range tests {
		if t.Result == kernel.Failed {
			failed = append(failed, t.String())
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("rules installed but verification failed; another component may have conflicting rules: %s",
			strings.Join(failed, "; "))
	}
	_, err = fmt.Fprintf(stdout, "outrider-init: %s; %s\n", redirect.Summary(c, plan.Family), results(plan, tests))
	return err
}

// install applies, verifies and tests a plan. Where the proxy has been started already,
// it may listen on its port at any time: a test that listens there would be skipped, or
// keep the proxy from listening, which it tries once. So the tests have another port.
func install(c redirect.Config, plan redirect.Plan) ([]kernel.Test, error) {
	testing := plan
	if c.WaitForProxy {
		port, err := kernel.FreePort()
		if err != nil {
			return nil, err
		}
		testing.TestPort = port
	}
	if err := kernel.Apply(testing); err != nil {
		return nil, err
	}
	if !c.WaitForProxy {
		if err := kernel.Verify(plan); err != nil {
			return nil, err
		}
		return kernel.Prove(c, plan), nil
	}
	tests := kernel.Prove(c, testing)
	if err := kernel.Complete(plan); err != nil {
		return nil, err
	}
	return tests, kernel.Verify(plan)
}

// results counts what was verified, and names the test connections that could
// not be made.
func results(plan redirect.Plan, tests []kernel.Test) string {
	passed, remarks := 0, ""
	for _, t := range tests {
		if t.Result == kernel.Passed {
			passed++
		}
		if t.Why != "" {
			remarks += "; " + t.String()
		}
	}
	return fmt.Sprintf("%d rules verified, %d/%d test connections passed%s",
		len(plan.Rules), passed, len(tests), remarks)
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
