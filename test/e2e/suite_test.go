package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/test/cluster"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/mesh"
)

// scenario is a part of the suite.
type scenario struct {
	name string
	run  func(*testing.T, *Suite)
}

// together are scenarios that leave the mesh's configuration and the product
// alone, and so may run beside each other: most of their time is waiting.
var together = []scenario{
	{"kube-inject", kubeInject},
	{"untouched", untouched},
	{"workloads", workloads},
	{"rolling", rolling},
	{"sidecars", sidecars},
	{"egress", egressReports},
}

// alone are scenarios that time pods, or change what all pods depend on, in order.
var alone = []scenario{
	{"starts", starts},
	{"getting-started", gettingStarted},
	{"operations", operations},
	{"bypass", bypass},
	{"ranges", ranges},
	{"control", control},
	{"hijack", hijack},
	{"explained", explained},
	{"questions", questions},
	{"checked", checked},
	{"tried", tried},
	{"flips", flips},
	{"survives", survives},
	{"soak", soaked},
	{"outage", outage},
	// It adopts the installation, and leaves none.
	{"revisions", revisions},
	// It begins without an installation, and leaves none.
	{"helm", helm},
}

// ended ends with an interrupt of the test binary: what a test has made goes
// before the process does.
var ended context.Context

func TestMain(m *testing.M) {
	var stop func()
	ended, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	signal.Ignore(syscall.SIGPIPE) // with "go test" the reader of the output may go first
	code := m.Run()
	stop()
	os.Exit(code)
}

// The flags of make targets: of the measurements, whose names begin with bench-, and of
// `make upgrades`.
var (
	ipv4       = flag.Bool("ipv4", false, "a cluster of IPv4 alone")
	startPods  = flag.Int("starts", 3, "pods of each kind that the scenario starts times")
	startSeed  = flag.Uint64("starts-seed", 0, "the seed of random waits before these pods, printed; 0: no waits")
	upgrades   = flag.Bool("upgrades", false, "the scenario revisions does all of docs/upgrade.md, and goes back to an earlier version")
	whole      = flag.Bool("whole", false, "the scenario survives is a minute without the API server, helm uninstalls in all ways, and tried stops the control plane")
	startKinds = flag.String("starts-kinds", "plain,sidecar", "the kinds of pods that it times in turns: plain, empty, sidecar, limited")
)

// Suite is what scenarios share: the cluster, with the product on it.
type Suite struct {
	*mesh.Mesh
	began time.Time
}

func TestE2E(t *testing.T) {
	s := &Suite{began: time.Now()}
	if context := os.Getenv(mesh.ContextEnv); context != "" {
		s.borrow(t, context)
	} else {
		astray := setStray(t)
		s.bringUp(t)
		defer astray(t)
	}
	s.install(t)
	t.Run("together", func(t *testing.T) {
		for _, sc := range together {
			t.Run(sc.name, func(t *testing.T) {
				t.Parallel()
				sc.timed(t, s)
			})
		}
	})
	if *upgrades {
		alone = append(alone, scenario{"earlier", earlier})
	}
	for _, sc := range alone {
		if ended.Err() != nil {
			t.Fatal("interrupted")
		}
		t.Run(sc.name, func(t *testing.T) { sc.timed(t, s) })
	}
}

// timed runs the scenario and returns how long it took.
func (sc scenario) timed(t *testing.T, s *Suite) {
	start := time.Now()
	sc.run(t, s)
	t.Logf("took %s", time.Since(start).Round(100*time.Millisecond))
}

// bringUp makes the cluster of our own.
func (s *Suite) bringUp(t *testing.T) {
	cluster.Require(t, "e2e")
	m, err := mesh.Up(ended, mesh.Options{Name: "e2e", Progress: os.Stderr, IPv4: *ipv4})
	if err != nil {
		t.Fatal(err)
	}
	s.use(t, m)
}

// borrow takes the cluster that the user names.
func (s *Suite) borrow(t *testing.T, context string) {
	m, err := mesh.Borrow(ended, context, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("on the cluster of context %q, with the internet as pods", context)
	s.use(t, m)
}

func (s *Suite) use(t *testing.T, m *mesh.Mesh) {
	s.Mesh = m
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Logf("a cluster after %s", time.Since(s.began).Round(100*time.Millisecond))
}

// servers is the namespace of the servers inside the cluster, without sidecars.
const servers = "e2e-servers"

// server is the URL of a Service with two pods.
const server = "http://httpbin." + servers + ":8000"

// install installs the product, and starts the server inside the cluster.
func (s *Suite) install(t *testing.T) {
	start := time.Now()
	n := s.Namespace(t, servers)
	n.run("kubectl apply -f test/cluster/testdata/web.yaml")
	if err := s.Install(ended); err != nil {
		t.Fatalf("%v\n%s", err, s.controlPlane())
	}
	n.rolledOut("deployment/httpbin")
	t.Logf("the product is ready %s after kubectl apply", time.Since(start).Round(100*time.Millisecond))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.controlPlane())
		}
	})
}

// controlPlane is the log of the product's own pods.
func (s *Suite) controlPlane() string {
	return s.show(
		"kubectl -n istio-system get all,events",
		"kubectl -n istio-system describe pods",
		"kubectl -n istio-system logs -l app.kubernetes.io/part-of=outrider --tail=60 --prefix",
	)
}

// show runs commands for a failure's report.
func (s *Suite) show(lines ...string) string {
	return showOn(s.Mesh, lines...)
}

func showOn(m *mesh.Mesh, lines ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var b strings.Builder
	for _, line := range lines {
		out, err := m.Bash(ctx, line).CombinedOutput()
		fmt.Fprintf(&b, "$ %s\n%s", line, out)
		if err != nil {
			fmt.Fprintln(&b, err)
		}
	}
	return b.String()
}

// bash runs a command line that must succeed.
func (s *Suite) bash(t *testing.T, line string) string {
	t.Helper()
	return bashOn(t, s.Mesh, line)
}

// undo runs a command line of a cleanup, also after an interrupt.
func (s *Suite) undo(t *testing.T, line string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if out, err := s.Bash(ctx, line).CombinedOutput(); err != nil {
		t.Errorf("$ %s\n%s%v", line, out, err)
	}
}

func bashOn(t *testing.T, m *mesh.Mesh, line string) string {
	t.Helper()
	out, err := m.Bash(ended, line).CombinedOutput()
	if err != nil {
		t.Fatalf("$ %s\n%s%v", line, out, err)
	}
	return string(out)
}

// patience is what a pod, or a change, may take to come into effect. On an idle
// machine most take a second or two.
const patience = 90 * time.Second

// eventually tries until there is no error; the last one is the failure.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	kit.Wait{For: patience, Every: 200 * time.Millisecond, Ended: ended.Done()}.Eventually(t, what, try)
}
