//go:build linux

// Command node is the first process of a cluster's node. It is started by
// cluster.Up and by nothing else.
package main

import (
	"fmt"
	"os"

	"github.com/outrider-mesh/outrider/test/cluster/node"
)

func main() {
	fmt.Fprintln(os.Stderr, "node:", node.Main(os.Args[1:]))
	os.Exit(1)
}
