// Command world serves the internet of the tests in the network namespace it
// is started in, until it is stopped. It writes the certificate of its CA
// to the file that -ca names once everything listens, and the requests to
// standard output.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/outrider-mesh/outrider/test/world"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	flags := flag.NewFlagSet("world", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("ca", "", "`file` to write the CA's certificate to")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if err := serve(ctx, *file, stdout); err != nil {
		_, _ = fmt.Fprintln(stderr, "world:", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, file string, log io.Writer) error {
	ca, err := world.NewCA()
	if err != nil {
		return err
	}
	return world.Serve(ctx, ca, log, func() {
		if file == "" {
			return
		}
		// Renamed into place: the file is complete when it appears.
		if err = os.WriteFile(file+".new", ca.PEM(), 0o644); err == nil {
			err = os.Rename(file+".new", file)
		}
		if err != nil {
			_, _ = fmt.Fprintln(log, "write the CA's certificate:", err)
		}
	})
}
