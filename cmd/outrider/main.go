// Command outrider is the control plane and the command line in one program. As
// kubectl-outrider on the PATH it is a kubectl plugin.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// stdio replaces the process's standard streams.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// The exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args, stdio{os.Stdin, os.Stdout, os.Stderr}))
}

// run runs the program with args, of which the first is its name, and returns
// its exit code: 0 success, 1 error, 2 invalid usage, 3 incomplete result.
func run(ctx context.Context, args []string, stdio stdio) int {
	root := rootCommand(args[0], stdio)
	if strings.TrimSuffix(filepath.Base(args[0]), ".exe") == completionProgram {
		args = append([]string{args[0], cobra.ShellCompRequestCmd}, args[1:]...)
	}
	root.SetArgs(args[1:])
	cmd, err := root.ExecuteContextC(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(stdio.err, "error: %v\nSee %q.\n", err, cmd.CommandPath()+" --help")
		return exitUsage
	case errors.Is(err, errIncomplete):
		return exitIncomplete
	case errors.Is(err, errFindings), errors.Is(err, errDiffers):
		return exitError
	}
	fmt.Fprintf(stdio.err, "error: %v\n", err)
	var coded *codedError
	if errors.As(err, &coded) {
		return coded.code
	}
	return exitError
}

// usageError is an error in how the program was called.
type usageError struct{ error }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}
