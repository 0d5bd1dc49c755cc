//go:build !linux

package cluster

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"time"

	"github.com/outrider-mesh/outrider/test/cluster/node"
)

var errOS = errors.New("a real cluster needs Linux, for its namespaces and cgroups")

// Options configure a cluster.
type Options struct {
	Name        string
	Progress    io.Writer
	Detach      bool
	IPv4        bool
	KubeletSync time.Duration
}

// Cluster is a cluster of one node. On this system there is none.
type Cluster struct {
	Name, Dir, Kubeconfig string
	Node                  node.Client
}

// Up fails: the system is not Linux.
func Up(context.Context, Options) (*Cluster, error) { return nil, errOS }

// turn fails: the system is not Linux.
func turn(context.Context, string, string) (func(), error) { return nil, errOS }

// Home is the directory that holds a directory per cluster.
const Home = ""

// Build fails: the system is not Linux.
func Build(context.Context, io.Writer) error { return errOS }

// Find fails: the system is not Linux.
func Find(string) (*Cluster, error) { return nil, errOS }

// Down fails: the system is not Linux.
func (*Cluster) Down(context.Context) error { return errOS }

// Status fails: the system is not Linux.
func (*Cluster) Status(context.Context, io.Writer) error { return errOS }

// LoadProduct fails: the system is not Linux.
func (*Cluster) LoadProduct(context.Context) error { return errOS }

// LoadBinary fails: the system is not Linux.
func (*Cluster) LoadBinary(context.Context, string, string, string) error { return errOS }

// LoadProgram fails: the system is not Linux.
func (*Cluster) LoadProgram(context.Context, string, string) error { return errOS }

// MemoryPeak fails: the system is not Linux.
func (*Cluster) MemoryPeak(string) (int64, error) { return 0, errOS }

// KillPod fails: the system is not Linux.
func (*Cluster) KillPod(string) error { return errOS }

// StopPod fails: the system is not Linux.
func (*Cluster) StopPod(string) error { return errOS }

// WorldCA is empty.
func (*Cluster) WorldCA() string { return "" }

// WorldLog is empty.
func (*Cluster) WorldLog() string { return "" }

// Kubectl returns a command that fails.
func (*Cluster) Kubectl(ctx context.Context, _ ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "false")
}
