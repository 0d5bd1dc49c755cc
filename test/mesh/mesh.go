package mesh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/outrider-mesh/outrider/test/cluster"
	"github.com/outrider-mesh/outrider/test/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/world"
)

// Mesh is a cluster and what commands need to work on it.
type Mesh struct {
	// Kubeconfig is the file that names the mesh's cluster and nothing else.
	Kubeconfig string
	// Dir is where commands run.
	Dir string
	// Work is the directory $WORK, for what commands write. Close removes it.
	Work string

	root     string // the checkout
	progress io.Writer
	own      *cluster.Cluster // nil for a borrowed cluster
	hosts    []world.Host     // the internet of a borrowed cluster
	caCerts  string           // what the internet's certificates chain to there, in PEM
	hadKinds bool             // a borrowed cluster had definitions of ServiceEntry and VirtualService
	bin      string           // the directory with kubectl and outrider

	installing bool // a borrowed cluster has, or may have, something of ours
}

// Options select the cluster of Up.
type Options struct {
	Name     string    // of the cluster, as cluster.Options has it
	Progress io.Writer // nil discards it
	IPv4     bool      // no IPv6
	// KubeletSync is that of cluster.Options.
	KubeletSync time.Duration
}

// Up brings up a cluster that has the product's images, on which nothing is
// installed yet. An Up that fails leaves nothing behind.
func Up(ctx context.Context, o Options) (*Mesh, error) {
	root, err := kit.Checkout()
	if err != nil {
		return nil, err
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	fetched := make(chan struct{}) // while programs are built; LoadProduct has the error
	go func() { defer close(fetched); _, _ = envoy.Binary(ctx, io.Discard) }()
	defer func() { <-fetched }()
	c, err := cluster.Up(ctx, cluster.Options{Name: o.Name, Progress: o.Progress, IPv4: o.IPv4, KubeletSync: o.KubeletSync})
	if err != nil {
		return nil, err
	}
	m := &Mesh{
		Kubeconfig: c.Kubeconfig, Dir: root, Work: filepath.Join(c.Dir, "work"),
		root: root, progress: o.Progress, own: c, bin: filepath.Join(c.Dir, "path"),
	}
	if err := m.prepareOwn(ctx); err != nil {
		return nil, errors.Join(err, m.Close(context.WithoutCancel(ctx)))
	}
	return m, nil
}

func (m *Mesh) prepareOwn(ctx context.Context) error {
	if err := m.own.LoadProduct(ctx); err != nil {
		return err
	}
	return m.makeBin(m.own.Kubectl(ctx).Path, filepath.Join(m.own.Dir, "product", "outrider"))
}

// makeBin makes the two directories of commands: with the programs that they
// find, and for what they write.
func (m *Mesh) makeBin(programs ...string) error {
	for _, dir := range []string{m.bin, m.Work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the directories for commands: %w", err)
		}
	}
	for _, p := range programs {
		if err := os.Symlink(p, filepath.Join(m.bin, filepath.Base(p))); err != nil {
			return fmt.Errorf("make the directories for commands: %w", err)
		}
	}
	return nil
}

// Own reports whether the cluster is one of our own, whose node is within reach.
func (m *Mesh) Own() bool { return m.own != nil }

// LoadProgram builds a program of the checkout, by its package, and loads it as an
// image into a cluster of our own.
func (m *Mesh) LoadProgram(ctx context.Context, pkg, ref string) error {
	if m.own == nil {
		return fmt.Errorf("load %s: %s", pkg, NoNode)
	}
	return m.own.LoadProgram(ctx, pkg, ref)
}

// LoadBinary loads a static program as an image that the user runs, into a cluster of our
// own.
func (m *Mesh) LoadBinary(ctx context.Context, program, ref, user string) error {
	if m.own == nil {
		return fmt.Errorf("load %s: %s", program, NoNode)
	}
	return m.own.LoadBinary(ctx, program, ref, user)
}

// MemoryPeak is the most memory, in bytes, that a container of the pod with the UID
// has used, in a cluster of our own.
func (m *Mesh) MemoryPeak(podUID string) (int64, error) {
	if m.own == nil {
		return 0, fmt.Errorf("read the pod's memory: %s", NoNode)
	}
	return m.own.MemoryPeak(podUID)
}

// KillPod kills all processes of the pod with the UID, as a lack of memory does, in a
// cluster of our own.
func (m *Mesh) KillPod(podUID string) error {
	if m.own == nil {
		return fmt.Errorf("kill a pod: %s", NoNode)
	}
	return m.own.KillPod(podUID)
}

// StopPod stops all processes of the pod with the UID, in a cluster of our own.
func (m *Mesh) StopPod(podUID string) error {
	if m.own == nil {
		return fmt.Errorf("stop a pod: %s", NoNode)
	}
	return m.own.StopPod(podUID)
}

// Close removes what Up or Borrow, and Install, made.
func (m *Mesh) Close(ctx context.Context) error {
	if m.own != nil {
		return m.own.Down(ctx)
	}
	return m.giveBack(ctx)
}

// Install installs the product as a user does, and waits until it is ready.
func (m *Mesh) Install(ctx context.Context) error {
	for _, line := range []string{
		"kubectl apply -f deploy/",
		"kubectl -n istio-system rollout status deployment/outrider --timeout=3m",
		"kubectl -n istio-system rollout status deployment/outrider-xds --timeout=3m",
	} {
		if out, err := m.Bash(ctx, line).CombinedOutput(); err != nil {
			return fmt.Errorf("install Outrider: %s: %w: %s", line, err, out)
		}
	}
	return nil
}

// ConfigurationActive fails while a replica does not use the
// configuration with the hash, which a pod's status annotation names.
func (m *Mesh) ConfigurationActive(ctx context.Context, hash string) error {
	const replicas = "kubectl -n istio-system get pods -l app.kubernetes.io/part-of=outrider --field-selector=status.phase=Running -o jsonpath='{.items[*].metadata.name}'"
	pods, err := m.Bash(ctx, replicas).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ask for the active configuration: %s: %w: %s", replicas, err, pods)
	}
	for _, name := range strings.Fields(string(pods)) {
		line := "kubectl get --raw /api/v1/namespaces/istio-system/pods/" + name + ":15014/proxy/metrics"
		metrics, err := m.Bash(ctx, line).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ask for the active configuration: %s: %w: %s", line, err, metrics)
		}
		if !strings.Contains(string(metrics), `sidecar_injection_config_info{hash="`+hash) {
			return fmt.Errorf("pod %s does not work by configuration %s yet", name, hash)
		}
	}
	return nil
}

// AddProgram puts a program where commands find it.
func (m *Mesh) AddProgram(path string) error {
	err := os.Symlink(path, filepath.Join(m.bin, filepath.Base(path)))
	if err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("add %s to the commands: %w", path, err)
	}
	return nil
}

// hidden are the variables by which kubectl or a client finds a cluster.
var hidden = []string{"KUBECONFIG", "KUBERC", "KUBECACHEDIR", "KUBERNETES_MASTER", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "PATH", "WORK"}

// Env is the environment of commands.
func (m *Mesh) Env() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(hidden, name)
	})
	return append(env,
		"KUBECONFIG="+m.Kubeconfig,
		"KUBECACHEDIR="+filepath.Join(m.Work, "kubectl-cache"),
		"HELM_CACHE_HOME="+filepath.Join(m.Work, "helm"), "HELM_CONFIG_HOME="+filepath.Join(m.Work, "helm"), "HELM_DATA_HOME="+filepath.Join(m.Work, "helm"),
		"KUBERC=off", // a person's own kuberc file must not change what a command does
		"WORK="+m.Work,
		"PATH="+m.bin+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// Bash is a command line that the cluster's user would type, in a shell where a
// pipe fails with any of its commands. The end of ctx ends all that it started.
func (m *Mesh) Bash(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-c", "set -o pipefail\n"+line)
	cmd.Dir, cmd.Env = m.Dir, m.Env()
	ownGroup(cmd)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// In is the mesh as a user sees it whose default namespace is another one.
func (m *Mesh) In(namespace string) (*Mesh, error) {
	config, err := clientcmd.LoadFromFile(m.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("use namespace %s: %w", namespace, err)
	}
	config.Contexts[config.CurrentContext].Namespace = namespace
	in := *m
	in.Kubeconfig = filepath.Join(m.Work, "kubeconfig-"+namespace)
	if err := clientcmd.WriteToFile(*config, in.Kubeconfig); err != nil {
		return nil, fmt.Errorf("use namespace %s: %w", namespace, err)
	}
	return &in, nil
}

// Host is a name of the internet with the addresses it has in this cluster. An
// address that it has not is the zero value.
func (m *Mesh) Host(name string) world.Host {
	if m.own != nil {
		h, _ := world.Lookup(name)
		return h
	}
	known, _ := world.Lookup(name)
	for _, h := range m.hosts {
		if h.Name == known.Name {
			return h
		}
	}
	return world.Host{}
}

// Ranges are the address ranges of the cluster itself that the internet's addresses
// are not in: pods and Services, or in a borrowed cluster, where the internet is
// made of pods, Services alone.
func (m *Mesh) Ranges(ctx context.Context) ([]string, error) {
	line := `kubectl -n kube-system get configmap kubeadm-config -o jsonpath='{.data.ClusterConfiguration}' | grep -E 'Subnet:'`
	out, err := m.Bash(ctx, line).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("read the cluster's ranges: %s: %w: %s", line, err, out)
	}
	var ranges []string
	for text := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(text), ": ")
		if key == "podSubnet" && m.own == nil {
			continue
		}
		for _, r := range strings.Split(value, ",") {
			if _, err := netip.ParsePrefix(r); err != nil {
				return nil, fmt.Errorf("read the cluster's ranges: ConfigMap kubeadm-config: %w", err)
			}
			ranges = append(ranges, r)
		}
	}
	return ranges, nil
}
