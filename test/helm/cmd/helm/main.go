// Command helm builds Helm for the tests, unless it is in the cache, and prints its
// path.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/outrider-mesh/outrider/test/helm"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	path, err := helm.Program(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "helm:", err)
		return 1
	}
	fmt.Println(path)
	return 0
}
