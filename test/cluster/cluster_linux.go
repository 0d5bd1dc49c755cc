package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/outrider-mesh/outrider/test/cluster/node"
)

// DefaultName is the name of the cluster that `make cluster-up` brings up.
const DefaultName = "outrider"

// Home is the directory that holds a directory per cluster. Sockets are in it,
// whose paths the kernel limits to 107 bytes.
const Home = "/var/tmp/outrider-cluster"

// nodeName is the name of the one node.
const nodeName = "node1"

// Options configure a cluster.
type Options struct {
	// Name is a DNS label of at most 20 characters; empty means DefaultName.
	Name string
	// Progress receives lines of progress; nil discards them.
	Progress io.Writer
	// Detach lets the cluster live on when the calling process ends. Without
	// it the cluster's processes end with that process, however it ends.
	Detach bool
	// IPv4 makes a cluster of IPv4 alone, also where the kernel has IPv6.
	IPv4 bool
	// KubeletSync is how often the kubelet brings changed ConfigMaps into running pods,
	// at most half as long again; zero means its default of a minute.
	KubeletSync time.Duration
}

// Cluster is a cluster of one node.
type Cluster struct {
	Name string
	// Dir holds all that the cluster writes. Its logs are in Dir/logs.
	Dir string
	// Kubeconfig is a file that reaches the API server from the host's network
	// as a member of system:masters.
	Kubeconfig string
	// Node runs programs inside the node's namespaces.
	Node node.Client

	ipv4        bool // of IPv4 alone
	kubeletSync time.Duration
	progress    *printer
	alive       *os.File // the write end of the pipe that the node lives by
}

var validName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$`)

func newCluster(o Options) (*Cluster, error) {
	if o.Name == "" {
		o.Name = DefaultName
	}
	if !validName.MatchString(o.Name) {
		return nil, fmt.Errorf("cluster name %q: want at most 20 lower-case letters, digits and dashes, a letter first and no dash last", o.Name)
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	dir := filepath.Join(Home, o.Name)
	return &Cluster{
		ipv4: o.IPv4,
		Name: o.Name, Dir: dir, Kubeconfig: filepath.Join(dir, "kubeconfig"),
		Node: node.Client{Dir: dir}, progress: &printer{w: o.Progress}, kubeletSync: o.KubeletSync,
	}, nil
}

// Find returns the cluster of that name as it is, running or not. An empty name
// means DefaultName.
func Find(name string) (*Cluster, error) { return newCluster(Options{Name: name}) }

// Running reports whether the cluster's node lives.
func (c *Cluster) Running() bool { return node.PID(c.Dir) != 0 }

// NetNS is the path of the node's network namespace, for setns and nsenter. It
// is empty where the cluster does not run.
func (c *Cluster) NetNS() string { return c.namespace("net") }

func (c *Cluster) namespace(kind string) string {
	if pid := node.PID(c.Dir); pid != 0 {
		return "/proc/" + strconv.Itoa(pid) + "/ns/" + kind
	}
	return ""
}

// WorldCA is the file with the certificate that the internet's TLS servers chain
// to.
func (c *Cluster) WorldCA() string { return filepath.Join(c.Dir, "world.crt") }

// WorldLog is the file with a line for each request that reached the internet; see
// package world.
func (c *Cluster) WorldLog() string { return filepath.Join(c.Dir, "logs", "world.log") }

// cgroup is the path of the cluster's cgroup in every hierarchy.
func (c *Cluster) cgroup() string { return "outrider-cluster-" + c.Name }

// bin is the path of one of the cluster's programs.
func (c *Cluster) bin(name string) string { return filepath.Join(c.Dir, "bin", name) }

// Kubectl returns a command line of the cluster's own kubectl, which keeps its
// caches in Dir. The caller sets the streams and runs it.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.bin("kubectl"), args...)
	cmd.Env = append(os.Environ(),
		"KUBECONFIG="+c.Kubeconfig,
		"KUBECACHEDIR="+filepath.Join(c.Dir, "kubectl-cache"),
		"KUBERC=off") // a person's own kuberc file must not change what a test does
	return cmd
}

// kubectl runs kubectl and adds its output to the error.
func (c *Cluster) kubectl(ctx context.Context, args ...string) (string, error) {
	cmd := c.Kubectl(ctx, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// LoadImage gives containerd the images of a docker-archive, as `docker save`
// or package image writes it.
func (c *Cluster) LoadImage(ctx context.Context, tar io.Reader) error {
	cmd := exec.CommandContext(ctx, c.bin("ctr"), "-a", filepath.Join(c.Dir, "containerd.sock"), "-n", "k8s.io", "images", "import", "-")
	cmd.Stdin = tar
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("load an image: ctr: %w: %s", err, out)
	}
	return nil
}

// Status writes what runs.
func (c *Cluster) Status(ctx context.Context, w io.Writer) error {
	if !c.Running() {
		_, err := fmt.Fprintf(w, "cluster %s is down\n", c.Name)
		if left := c.leftovers(identity{}); len(left) > 0 {
			err = errors.Join(err, fmt.Errorf("cluster %s left behind: %s", c.Name, strings.Join(left, "; ")))
		}
		return err
	}
	daemons, err := c.Node.Daemons()
	if err != nil {
		return fmt.Errorf("status of cluster %s: %w", c.Name, err)
	}
	_, _ = fmt.Fprintf(w, "cluster %s is up\n  KUBECONFIG=%s\n  logs: %s\n\n", c.Name, c.Kubeconfig, filepath.Join(c.Dir, "logs"))
	for _, d := range daemons {
		state := "runs"
		if d.PID == 0 {
			state = "does not run"
		}
		if d.Restarts > 0 || d.PID == 0 {
			state += fmt.Sprintf("; started again %d times, last ended with %s", d.Restarts, d.Exit)
		}
		_, _ = fmt.Fprintf(w, "  %-24s %s\n", d.Name, state)
	}
	_, _ = fmt.Fprintln(w)
	for _, args := range [][]string{{"get", "nodes"}, {"get", "pods", "--all-namespaces"}} {
		out, err := c.kubectl(ctx, append(args, "--request-timeout=10s")...)
		if err != nil {
			return fmt.Errorf("status of cluster %s: %w", c.Name, err)
		}
		_, _ = fmt.Fprintln(w, out)
	}
	return nil
}
