// Command istio-chart builds the program that renders Istio's chart for the tests,
// unless it is in the cache, and prints its path.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/outrider-mesh/outrider/test/istio"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	path, err := istio.Program(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "istio-chart:", err)
		return 1
	}
	fmt.Println(path)
	return 0
}
