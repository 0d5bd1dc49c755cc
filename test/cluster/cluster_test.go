//go:build linux

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/test/cluster/node"
)

// childEnv makes the test binary bring up the cluster it names and wait, for
// the test that kills it.
const childEnv = "OUTRIDER_CLUSTER_TEST_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		if _, err := Up(context.Background(), Options{Name: name}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("up")
		select {}
	}
	os.Exit(m.Run())
}

// A cluster works, a second one beside it that is killed does not affect it, and
// neither leaves anything behind.
func TestCluster(t *testing.T) {
	Require(t, "test")
	before := hostState(t)
	start := time.Now()
	c, err := Up(t.Context(), Options{Name: "test-a", Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("up in %s", time.Since(start).Round(100*time.Millisecond))
	t.Cleanup(func() { // again where the test failed before its own Down
		if err := c.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	deploy(t, c)
	t.Run("requests", func(t *testing.T) { testRequests(t, c) })
	t.Run("configuration", func(t *testing.T) { testConfiguration(t, c) })
	t.Run("product", func(t *testing.T) { testProduct(t, c) })
	t.Run("restart", func(t *testing.T) { testRestart(t, c) })
	t.Run("second", func(t *testing.T) { testSecond(t, c) })
	t.Run("twice", func(t *testing.T) {
		if _, err := Up(t.Context(), Options{Name: "test-a"}); err == nil || !strings.Contains(err.Error(), "already") {
			t.Errorf("Up of a cluster that runs: error %v, want one that reports it", err)
		}
	})

	id := c.identify()
	if len(id) != len(namespaceKinds) || len(c.leftovers(id)) < 10 {
		t.Errorf("a running cluster shows %d namespaces and %q: the check for leftovers sees nothing", len(id), c.leftovers(id))
	}
	start = time.Now()
	if err := c.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("down in %s", time.Since(start).Round(100*time.Millisecond))
	if left := c.leftovers(id); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	for what, want := range before {
		if got := hostState(t)[what]; got != want {
			t.Errorf("%s of the host changed from\n%s\nto\n%s", what, want, got)
		}
	}
}

// hostState is what a cluster must leave as it was.
func hostState(t *testing.T) map[string]string {
	t.Helper()
	state := map[string]string{}
	for _, args := range [][]string{
		{"nft", "list", "ruleset"}, {"ip", "-o", "link"}, {"ip", "route", "show", "table", "all"}, {"ip", "netns"}, {"cat", "/proc/self/mounts"},
		{"sysctl", "vm.overcommit_memory", "kernel.panic", "kernel.panic_on_oops", "net.ipv4.ip_forward"},
	} {
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
		state[strings.Join(args, " ")] = string(out)
	}
	return state
}

// deploy starts the pod that sends requests and the in-cluster server.
func deploy(t *testing.T, c *Cluster) {
	t.Helper()
	for _, args := range [][]string{
		{"apply", "-f", "../../samples/sleep/sleep.yaml", "-f", "testdata/web.yaml"},
		{"rollout", "status", "deployment/sleep", "deployment/httpbin", "--timeout=120s"},
	} {
		if out, err := c.kubectl(t.Context(), args...); err != nil {
			out2, _ := c.kubectl(t.Context(), "describe", "pods")
			t.Fatalf("%v\n%s\n%s", err, out, out2)
		}
	}
}

// curl sends a request from the pod.
func curl(t *testing.T, c *Cluster, args ...string) (string, error) {
	t.Helper()
	return c.kubectl(t.Context(), append([]string{"exec", "deployment/sleep", "--", "curl", "-sS", "--max-time", "20"}, args...)...)
}

func testRequests(t *testing.T, c *Cluster) {
	service, err := c.kubectl(t.Context(), "get", "service", "httpbin", "-o", "jsonpath={.spec.clusterIP}")
	if err != nil {
		t.Fatal(err)
	}
	service6, err := c.kubectl(t.Context(), "get", "service", "httpbin", "-o", "jsonpath={.spec.clusterIPs[1]}")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct {
		name, want string
		args       []string
		ipv6       bool
	}{
		{"the internet by HTTP", `"Host": "httpbin.org"`, []string{"http://httpbin.org/headers"}, false},
		{"the internet by HTTPS", "HTTP/2 200", []string{"-I", "https://www.google.com"}, false},
		{"a wildcard name", "200", []string{"-o", "/dev/null", "-w", "%{http_code}", "https://en.wikipedia.org/wiki/Main_Page"}, false},
		{"a redirect to HTTPS", "200", []string{"-L", "-o", "/dev/null", "-w", "%{http_code}", "http://edition.cnn.com/politics"}, false},
		{"a status", "418", []string{"-o", "/dev/null", "-w", "%{http_code}", "http://httpbin.org/status/418"}, false},
		{"the internet by IPv6", "2001:db8:113::14 200", []string{"-6", "-o", "/dev/null", "-w", "%{remote_ip} %{http_code}", "https://www.google.com"}, true},
		{"a Service by name", `"Host": "httpbin:8000"`, []string{"http://httpbin:8000/headers"}, false},
		{"a Service by address", `"method": "POST"`, []string{"-H", "Host: httpbin", "-d", "x", "http://" + service + ":8000/anything"}, false},
		{"a Service by IPv6", "200", []string{"-H", "Host: httpbin", "-o", "/dev/null", "-w", "%{http_code}", "http://[" + service6 + "]:8000/get"}, true},
		{"the API server", `"gitVersion": "v1.`, []string{"-k", "https://kubernetes.default/version"}, false},
	} {
		if r.ipv6 && !ipv6() {
			t.Logf("%s: skipped: the kernel has no IPv6 (/proc/net/if_inet6)", r.name)
			continue
		}
		out, err := curl(t, c, r.args...)
		if err != nil || !strings.Contains(out, r.want) {
			t.Errorf("%s: %q, error %v; want %q in it", r.name, out, err, r.want)
		}
	}
	if out, err := curl(t, c, "http://www.example.org"); err == nil || !strings.Contains(out, "Could not resolve host") {
		t.Errorf("a name outside the internet: %q, error %v; want it unknown", out, err)
	}
	pod, err := c.kubectl(t.Context(), "get", "pod", "-l", "app=sleep", "-o", "jsonpath={.items[0].status.podIP}")
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(c.WorldLog())
	if want := "http from=" + pod + ":"; err != nil || !bytes.Contains(log, []byte(want)) {
		t.Errorf("the internet's log has no %q, error %v:\n%s", want, err, log)
	}
}

// What the cluster reports about itself is true.
func testConfiguration(t *testing.T, c *Cluster) {
	families := "10.244.0.0/24 fd00:10:244::/64"
	for _, q := range []struct {
		want string
		args []string
	}{
		{"podSubnet: 10.244.0.0/16", []string{"get", "configmap", "-n", "kube-system", "kubeadm-config", "-o", "jsonpath={.data.ClusterConfiguration}"}},
		{"serviceSubnet: 10.96.0.0/12", []string{"get", "configmap", "-n", "kube-system", "kubeadm-config", "-o", "jsonpath={.data.ClusterConfiguration}"}},
		{`clusterCIDR: "10.244.0.0/16`, []string{"get", "configmap", "-n", "kube-system", "kube-proxy", "-o", `jsonpath={.data.config\.conf}`}},
		{families, []string{"get", "node", nodeName, "-o", "jsonpath={.spec.podCIDRs[0]} {.spec.podCIDRs[1]}"}},
		{"10.96.0.1", []string{"get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}"}},
	} {
		if q.want == families && !ipv6() {
			continue
		}
		if out, err := c.kubectl(t.Context(), q.args...); err != nil || !strings.Contains(out, q.want) {
			t.Errorf("kubectl %s: %q, error %v; want %q in it", strings.Join(q.args, " "), out, err, q.want)
		}
	}
	rules, err := c.Node.Run("", "nft", "list", "tables")
	if err != nil || !strings.Contains(rules, "table ip kube-proxy") {
		t.Errorf("the node's nftables: %q, error %v; want kube-proxy's", rules, err)
	}
	daemons, err := c.Node.Daemons()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range daemons {
		if d.PID == 0 || d.Restarts > 0 {
			t.Errorf("%s: process %d, started again %d times, last ended with %s", d.Name, d.PID, d.Restarts, d.Exit)
		}
	}
	var b strings.Builder
	if err := c.Status(t.Context(), &b); err != nil || !strings.Contains(b.String(), "Ready") {
		t.Errorf("status %q, error %v", b.String(), err)
	}
}

// The images of the product hold programs that run as a pod runs them.
func testProduct(t *testing.T, c *Cluster) {
	if err := c.LoadProduct(t.Context()); err != nil {
		t.Fatal(err)
	}
	programs := []struct {
		name, ref, want string
		args            []string
	}{
		{"envoy", EnvoyRef, "/" + strings.TrimPrefix(EnvoyRef[strings.LastIndex(EnvoyRef, "-v"):], "-v") + "/", []string{"--version"}},
		{"outrider", OutriderRef, "kube-inject", []string{"--help"}},
		{"outrider-init", OutriderInitRef, "Usage", []string{"--help"}},
	}
	for _, p := range programs {
		args := append([]string{"run", p.name, "--image=" + p.ref, "--image-pull-policy=Never", "--restart=Never", "--"}, p.args...)
		if _, err := c.kubectl(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range programs {
		err := until(t.Context(), func(ctx context.Context) error {
			phase, err := c.kubectl(ctx, "get", "pod", p.name, "-o", "jsonpath={.status.phase}")
			if err == nil && phase != "Succeeded" && phase != "Failed" {
				err = fmt.Errorf("phase %s", phase)
			}
			return err
		})
		out, logErr := c.kubectl(t.Context(), "logs", p.name)
		if err != nil || logErr != nil || !strings.Contains(out, p.want) {
			t.Errorf("%s %q: %q, errors %v, %v; want %q in it", p.ref, p.args, out, err, logErr, p.want)
		}
	}
}

// testSecond brings a second cluster up from a process that is then killed.
func testSecond(t *testing.T, c *Cluster) {
	second, err := Find("test-b")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := second.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"=test-b")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	output := make([]byte, 1<<16)
	n, _ := out.Read(output)
	if string(output[:n]) != "up\n" {
		_ = child.Process.Kill()
		t.Fatalf("the second cluster: %s", output[:n])
	}
	id := second.identify()
	for _, link := range c.identify() {
		if slices.Contains(id, link) {
			t.Errorf("both clusters have %s", link)
		}
	}
	if pods, err := second.kubectl(t.Context(), "get", "pods", "-o", "name"); err != nil || strings.Contains(pods, "sleep") {
		t.Errorf("pods of the second cluster: %q, error %v; want none of the first's", pods, err)
	}
	deploy(t, second)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	for deadline := time.Now().Add(20 * time.Second); node.PID(second.Dir) != 0 || len(processes(second, id)) > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the second cluster outlives the process that made it: %q", processes(second, id))
		}
	}
	if err := second.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := second.leftovers(id); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if out, err := curl(t, c, "http://httpbin.org/get"); err != nil {
		t.Errorf("the first cluster, after the second went: %v: %s", err, out)
	}
}

// A daemon that ends is started again.
func testRestart(t *testing.T, c *Cluster) {
	scheduler := func() node.Daemon {
		daemons, err := c.Node.Daemons()
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(daemons, func(d node.Daemon) bool { return d.Name == "kube-scheduler" })
		return daemons[i]
	}
	if _, err := c.Node.Run("", "kill", "-9", fmt.Sprint(scheduler().PID)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		d := scheduler()
		if d.Restarts == 1 && d.PID != 0 && d.Exit == "signal killed" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("killed, and then: %+v", d)
		}
	}
	if out, err := c.Node.Run("", "false"); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("a program that fails: %q, error %v", out, err)
	}
	if out, err := c.Node.Run("words\n", "cat"); err != nil || out != "words\n" {
		t.Errorf("a program that reads: %q, error %v", out, err)
	}
}

// An interrupted Up leaves nothing behind.
func TestUpInterrupted(t *testing.T) {
	Require(t, "test")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, err := Find("test-c")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = until(ctx, func(context.Context) error { _, err := os.Stat(c.WorldCA()); return err })
		cancel()
	}()
	_, err = Up(ctx, Options{Name: "test-c"})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "cluster test-c") {
		t.Errorf("error %v, want the context's", err)
	}
	if left := c.leftovers(identity{}); len(left) > 0 || c.Running() {
		t.Errorf("left behind: %q", left)
	}
}

func processes(c *Cluster, id identity) (list []string) {
	for _, l := range c.leftovers(id) {
		if strings.HasPrefix(l, "process ") {
			list = append(list, l)
		}
	}
	return list
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"": true, "a": true, "test-a": true, "a2": true, "abcdefghijklmnopqrst": true,
		"abcdefghijklmnopqrstu": false, "2a": false, "a-": false, "A": false, "../x": false, "a/b": false,
	} {
		if c, err := Find(name); (err == nil) != ok {
			t.Errorf("Find(%q): %+v, error %v", name, c, err)
		}
	}
}
