package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/outrider-mesh/outrider/test/kit"
)

// ran is the result of a command line.
type ran struct {
	out, err string // what it printed
	code     int
}

// run shows a command line, has the shell run it in the checkout, and shows
// what it prints. That it exits with another code than 0 is no error here.
func (d *demo) run(ctx context.Context, line string) (ran, error) {
	d.command(line)
	out, errOut := d.output(""), d.output(yellow)
	cmd := d.shell(ctx, line)
	cmd.Stdout, cmd.Stderr = out, errOut
	err := cmd.Run()
	out.flush()
	errOut.flush()
	r := ran{out.all.String(), errOut.all.String(), cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	if err != nil && !errors.As(err, &exit) {
		return r, fmt.Errorf("run %q: %w", line, err)
	}
	return r, nil
}

// must runs a command that has to succeed without output on stderr.
func (d *demo) must(ctx context.Context, line string) error {
	_, err := d.prints(ctx, line)
	return err
}

// prints is must for a command whose output is looked at.
func (d *demo) prints(ctx context.Context, line string) (string, error) {
	r, err := d.run(ctx, line)
	if err == nil && (r.code != 0 || r.err != "") {
		err = fmt.Errorf("%q: exit code %d and stderr %q; want 0 and no output on stderr", line, r.code, r.err)
	}
	return r.out, err
}

// silently runs a command without showing it, and wants texts in what it prints.
func (d *demo) silently(ctx context.Context, line string, wanted ...string) error {
	out, err := d.shell(ctx, line).CombinedOutput()
	if err != nil {
		return fmt.Errorf("run %q: %w: %s", line, err, out)
	}
	return lacks(string(out), wanted...)
}

// all runs commands that are each to succeed.
func (d *demo) all(ctx context.Context, lines ...string) error {
	for _, line := range lines {
		if err := d.must(ctx, line); err != nil {
			return err
		}
	}
	return nil
}

// shell is a command line that finds kubectl and outrider on its PATH and the
// API server by its environment. The end of ctx ends it with all it started.
func (d *demo) shell(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	cmd.Dir, cmd.Env = d.root, d.env
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return killGroup(cmd.Process) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// patience is how long the demo waits: an edit takes well under a second, more on
// a busy machine.
const patience = 20 * time.Second

// eventually tries until there is no error, and returns how long that took.
func eventually(ctx context.Context, try func() error) (time.Duration, error) {
	return kit.Wait{For: patience, Every: 50 * time.Millisecond}.Until(ctx, try)
}

// lacks returns which of the wanted texts are not in text.
func lacks(text string, wanted ...string) error {
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			return fmt.Errorf("%q is not in %q", w, text)
		}
	}
	return nil
}
