// Command cluster brings a real Kubernetes cluster of one node up or down, or
// shows its status.
//
//	cluster [-name NAME] build|up|down|status
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/outrider-mesh/outrider/test/cluster"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = fmt.Fprintln(stderr, "Usage: cluster [-name NAME] build|up|down|status")
		flags.PrintDefaults()
	}
	name := flags.String("name", "", "the cluster's `name`, if not the default one")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	do := map[string]func() error{
		"build":  func() error { return cluster.Build(ctx, stderr) },
		"up":     func() error { return up(ctx, *name, stderr) },
		"down":   func() error { return with(*name, func(c *cluster.Cluster) error { return c.Down(ctx) }) },
		"status": func() error { return with(*name, func(c *cluster.Cluster) error { return c.Status(ctx, stdout) }) },
	}[flags.Arg(0)]
	if do == nil || flags.NArg() != 1 {
		flags.Usage()
		return 2
	}
	if err := do(); err != nil {
		_, _ = fmt.Fprintln(stderr, "cluster:", err)
		return 1
	}
	return 0
}

func up(ctx context.Context, name string, progress io.Writer) error {
	c, err := cluster.Up(ctx, cluster.Options{Name: name, Progress: progress, Detach: true})
	if err != nil {
		return err
	}
	if err := c.LoadProduct(ctx); err != nil {
		return fmt.Errorf("cluster %s is up, without the product's images: %w", c.Name, err)
	}
	return nil
}

func with(name string, do func(*cluster.Cluster) error) error {
	c, err := cluster.Find(name)
	if err != nil {
		return err
	}
	return do(c)
}
