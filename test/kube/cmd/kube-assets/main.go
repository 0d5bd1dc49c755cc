// Command kube-assets builds the Kubernetes servers that the tests run against,
// unless they are there already, and prints the directory they are in.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/outrider-mesh/outrider/test/kube"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := kube.Assets(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kube-assets:", err)
		return 1
	}
	fmt.Println(dir)
	return 0
}
